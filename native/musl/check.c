// Runs the addon where there is no Node for musl: a program with as much of Node-API as the addon calls, which opens it,
// has every symbol resolved at once, and calls its functions. Not part of the addon; native/verify-prebuilds.mjs builds it.
//
// usage: check ADDON TOKEN_FILE      The token file has to hold `tok_secret` and a line end; it is gone afterwards.

#include <dlfcn.h>
#include <node_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// -- Values: never freed, and no garbage collection ---------------------------------------------------------------------

struct property {
  const char* name;
  napi_value value;
};

struct napi_value__ {
  napi_valuetype type;
  double number;
  const char* text;
  uint8_t* bytes;
  size_t length;
  napi_callback callback;
  void* callback_data;
  void* wrapped;
  const napi_property_descriptor* methods;
  size_t method_count;
  struct property properties[16];
  size_t property_count;
};

struct napi_callback_info__ {
  napi_value this_value;
  napi_value new_target;
  const napi_value* arguments;
  size_t count;
  void* data;
};

static void* instance_data;

static void fail(const char* what) {
  printf("FAILED: %s\n", what);
  exit(1);
}

static napi_value create(napi_valuetype type) {
  napi_value value = calloc(1, sizeof(*value));
  value->type = type;
  return value;
}

static napi_value number(double of) {
  napi_value value = create(napi_number);
  value->number = of;
  return value;
}

static napi_value text(const char* of) {
  napi_value value = create(napi_string);
  value->text = of;
  return value;
}

static napi_value bytes(uint8_t* memory, size_t length) {
  napi_value value = create(napi_object);
  value->bytes = memory;
  value->length = length;
  return value;
}

static void set(napi_value object, const char* name, napi_value value) {
  object->properties[object->property_count++] = (struct property){name, value};
}

static napi_value get(napi_value object, const char* name) {
  for (size_t i = 0; i < object->property_count; i++) {
    if (strcmp(object->properties[i].name, name) == 0) return object->properties[i].value;
  }
  fail(name);
  return NULL;
}

static napi_value call(napi_value function, napi_value this_value, const napi_value* arguments, size_t count) {
  struct napi_callback_info__ info = {this_value, NULL, arguments, count, function->callback_data};
  return function->callback(NULL, &info);
}

static napi_value call_method(napi_value object, const char* name, const napi_value* arguments, size_t count) {
  for (size_t i = 0; i < object->method_count; i++) {
    if (strcmp(object->methods[i].utf8name, name) != 0) continue;
    struct napi_callback_info__ info = {object, NULL, arguments, count, object->methods[i].data};
    return object->methods[i].method(NULL, &info);
  }
  fail(name);
  return NULL;
}

// -- Node-API that the addon depends on ---------------------------------------------------------------------------------

#define API __attribute__((visibility("default"))) napi_status

API napi_get_undefined(napi_env env, napi_value* result) { return *result = create(napi_undefined), napi_ok; }
API napi_create_object(napi_env env, napi_value* result) { return *result = create(napi_object), napi_ok; }
API napi_create_double(napi_env env, double value, napi_value* result) { return *result = number(value), napi_ok; }
API napi_create_int64(napi_env env, int64_t value, napi_value* result) { return *result = number(value), napi_ok; }
API napi_get_boolean(napi_env env, bool value, napi_value* result) { return *result = number(value), napi_ok; }
API napi_create_bigint_uint64(napi_env env, uint64_t value, napi_value* result) {
  return *result = number((double)value), napi_ok;
}
API napi_create_string_utf8(napi_env env, const char* value, size_t length, napi_value* result) {
  return *result = text(value), napi_ok;
}
API napi_typeof(napi_env env, napi_value value, napi_valuetype* type) { return *type = value->type, napi_ok; }
API napi_is_typedarray(napi_env env, napi_value value, bool* result) { return *result = value->bytes != NULL, napi_ok; }
API napi_get_value_double(napi_env env, napi_value value, double* result) {
  return *result = value->number, value->type == napi_number ? napi_ok : napi_number_expected;
}
API napi_get_value_string_utf8(napi_env env, napi_value value, char* target, size_t size, size_t* length) {
  size_t all = strlen(value->text);
  if (target != NULL && all >= size) all = size - 1;
  if (target != NULL) memcpy(target, value->text, all);
  if (target != NULL) target[all] = '\0';
  if (length != NULL) *length = all;
  return napi_ok;
}
API napi_get_typedarray_info(napi_env env, napi_value value, napi_typedarray_type* type, size_t* length, void** data,
                             napi_value* arraybuffer, size_t* offset) {
  if (value->bytes == NULL) return napi_invalid_arg;
  if (type != NULL) *type = napi_uint8_array;
  if (length != NULL) *length = value->length;
  if (data != NULL) *data = value->bytes;
  if (arraybuffer != NULL) *arraybuffer = value;
  if (offset != NULL) *offset = 0;
  return napi_ok;
}
API napi_create_function(napi_env env, const char* name, size_t length, napi_callback callback, void* data,
                         napi_value* result) {
  *result = create(napi_function);
  (*result)->callback = callback;
  (*result)->callback_data = data;
  return napi_ok;
}
API napi_set_named_property(napi_env env, napi_value object, const char* name, napi_value value) {
  return set(object, name, value), napi_ok;
}
API napi_define_class(napi_env env, const char* name, size_t length, napi_callback constructor, void* data,
                      size_t count, const napi_property_descriptor* properties, napi_value* result) {
  napi_property_descriptor* methods = calloc(count, sizeof(*methods));
  memcpy(methods, properties, count * sizeof(*methods));
  napi_create_function(env, name, length, constructor, data, result);
  (*result)->methods = methods;
  (*result)->method_count = count;
  return napi_ok;
}
API napi_new_instance(napi_env env, napi_value class, size_t count, const napi_value* arguments, napi_value* result) {
  napi_value object = create(napi_object);
  object->methods = class->methods;
  object->method_count = class->method_count;
  struct napi_callback_info__ info = {object, class, arguments, count, class->callback_data};
  class->callback(env, &info);
  return *result = object, napi_ok;
}
API napi_get_cb_info(napi_env env, napi_callback_info info, size_t* count, napi_value* arguments, napi_value* this_value,
                     void** data) {
  for (size_t i = 0; count != NULL && i < *count; i++) {
    arguments[i] = i < info->count ? info->arguments[i] : create(napi_undefined);
  }
  if (count != NULL) *count = info->count;
  if (this_value != NULL) *this_value = info->this_value;
  if (data != NULL) *data = info->data;
  return napi_ok;
}
API napi_get_new_target(napi_env env, napi_callback_info info, napi_value* result) {
  return *result = info->new_target, napi_ok;
}
API napi_wrap(napi_env env, napi_value object, void* native, napi_finalize finalize, void* hint, napi_ref* result) {
  object->wrapped = native;
  if (result != NULL) *result = (napi_ref)object;
  return napi_ok;
}
API napi_unwrap(napi_env env, napi_value object, void** result) { return *result = object->wrapped, napi_ok; }
API napi_create_reference(napi_env env, napi_value value, uint32_t count, napi_ref* result) {
  return *result = (napi_ref)value, napi_ok;
}
API napi_get_reference_value(napi_env env, napi_ref reference, napi_value* result) {
  return *result = (napi_value)reference, napi_ok;
}
API napi_delete_reference(napi_env env, napi_ref reference) { return napi_ok; }
API napi_set_instance_data(napi_env env, void* data, napi_finalize finalize, void* hint) {
  return instance_data = data, napi_ok;
}
API napi_get_instance_data(napi_env env, void** data) { return *data = instance_data, napi_ok; }
API napi_is_exception_pending(napi_env env, bool* result) { return *result = false, napi_ok; }
API napi_open_handle_scope(napi_env env, napi_handle_scope* result) { return *result = NULL, napi_ok; }
API napi_close_handle_scope(napi_env env, napi_handle_scope scope) { return napi_ok; }
API napi_open_escapable_handle_scope(napi_env env, napi_escapable_handle_scope* result) {
  return *result = NULL, napi_ok;
}
API napi_close_escapable_handle_scope(napi_env env, napi_escapable_handle_scope scope) { return napi_ok; }
API napi_escape_handle(napi_env env, napi_escapable_handle_scope scope, napi_value value, napi_value* result) {
  return *result = value, napi_ok;
}

// There to be resolved; none is called unless something goes wrong. The label keeps clear of the header's declarations.
#define UNEXPECTED(name)                                                        \
  __attribute__((visibility("default"))) void unexpected_##name(void) __asm__(#name); \
  void unexpected_##name(void) { fail(#name " was called"); }

UNEXPECTED(napi_add_finalizer)
UNEXPECTED(napi_create_error)
UNEXPECTED(napi_create_type_error)
UNEXPECTED(napi_define_properties)
UNEXPECTED(napi_fatal_error)
UNEXPECTED(napi_get_and_clear_last_exception)
UNEXPECTED(napi_get_last_error_info)
UNEXPECTED(napi_get_property)
UNEXPECTED(napi_has_property)
UNEXPECTED(napi_remove_wrap)
UNEXPECTED(napi_throw)
UNEXPECTED(napi_throw_type_error)

// -- Checks -------------------------------------------------------------------------------------------------------------

static void expect(bool condition, const char* fact) {
  if (!condition) fail(fact);
  printf("ok: %s\n", fact);
}

static void* find(void* addon, const char* symbol) {
  void* address = dlsym(addon, symbol);
  if (address == NULL) fail(symbol);
  return address;
}

static napi_value load(const char* path) {
  void* addon = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (addon == NULL) fail(dlerror());
  int32_t (*version)(void) = (int32_t(*)(void))find(addon, "node_api_module_get_api_version_v1");
  expect(version() == 8, "it opens with every symbol resolved, for Node-API 8");
  napi_value (*initialize)(napi_env, napi_value) = (napi_value(*)(napi_env, napi_value))find(addon, "napi_register_module_v1");
  return initialize(NULL, create(napi_object));
}

static double encode(napi_value addon, uint8_t* buffer, size_t size, size_t offset, size_t length) {
  static uint8_t keys[] = {0x37, 0xfa, 0x21, 0x3d, 1, 2, 3, 4, 5, 6, 7, 8};
  const napi_value arguments[] = {bytes(buffer, size), number(offset),           number(length),
                                  number(32768),       bytes(keys, sizeof(keys)), number(0)};
  return call(get(addon, "encodeFrames"), NULL, arguments, 6)->number;
}

static void check_encoder(napi_value addon) {
  // Section 5.7 of RFC 6455 has this key.
  const uint8_t frame[] = {0x82, 0x87, 0x37, 0xfa, 0x21, 0x3d, 0x3d, 0xff, 0x69, 0x58, 0x5b, 0x96, 0x4e};
  uint8_t hello[] = "--------Hello";
  expect(encode(addon, hello, 13, 8, 5) == 8 && memcmp(hello, frame, 13) == 0, "it encodes a frame");

  enum { OFFSET = 40, LENGTH = 65536, STEP = 32764 };
  uint8_t* buffer = malloc(OFFSET + LENGTH);
  for (size_t i = 0; i < LENGTH; i++) buffer[OFFSET + i] = (uint8_t)(i * 37 + i / 256);
  expect(encode(addon, buffer, OFFSET + LENGTH, OFFSET, LENGTH) == 32, "it cuts 64 KiB into three frames");
  const uint8_t* at = buffer + OFFSET - 32;
  bool same = true;
  for (size_t start = 0; start < LENGTH; start += STEP) {
    const size_t length = LENGTH - start < STEP ? LENGTH - start : STEP;
    const size_t chunk_header = length == STEP ? 4 : 2;
    const uint8_t* key = at + (length == STEP ? 4 : 2);
    for (size_t i = 0; i < length; i++) {
      const uint8_t byte = key[4 + chunk_header + i] ^ key[(chunk_header + i) % 4];
      same = same && byte == (uint8_t)((start + i) * 37 + (start + i) / 256);
    }
    at = key + 4 + chunk_header + length;
  }
  expect(same && at == buffer + OFFSET + LENGTH, "each frame holds its part of the payload");
  expect(encode(addon, buffer, OFFSET + LENGTH, 31, LENGTH) == -34, "it refuses what does not fit with -ERANGE");
}

static void check_process(napi_value addon) {
  const napi_value arguments[] = {number(0)};
  expect(call(get(addon, "getDumpable"), NULL, NULL, 0)->number == 1, "the process is dumpable");
  expect(call(get(addon, "setDumpable"), NULL, arguments, 1)->number == 0, "it becomes non-dumpable");
  expect(call(get(addon, "getDumpable"), NULL, NULL, 0)->number == 0, "the process is non-dumpable");
}

static void check_token_file(napi_value addon, const char* path) {
  const napi_value opening[] = {text(path), number(16384)};
  napi_value token = call(get(addon, "openTokenFile"), NULL, opening, 2);
  uint8_t target[16];
  const napi_value copying[] = {bytes(target, sizeof(target)), number(0)};
  expect(token->wrapped != NULL, "it reads the token file");
  expect(get(token, "length")->number == 10, "it tells the token's length");
  expect(call_method(token, "copyTo", copying, 2)->number == 10, "it copies the token");
  expect(memcmp(target, "tok_secret", 10) == 0, "the token is what the file held");
  expect(call_method(token, "unlink", NULL, 0)->number == 0, "it removes the file");
  call_method(token, "wipe", NULL, 0);
  expect(call_method(token, "copyTo", copying, 2)->number == -9, "after wiping there is no token");
  napi_value refusal = call(get(addon, "openTokenFile"), NULL, opening, 2);
  expect(get(refusal, "errno")->number == -2, "a file that is gone is refused with -ENOENT");
}

int main(int count, char** arguments) {
  if (count != 3) fail("usage: check ADDON TOKEN_FILE");
  napi_value addon = load(arguments[1]);
  check_encoder(addon);
  check_token_file(addon, arguments[2]);
  check_process(addon);
  return 0;
}
