// The safe open follows Postfix's safe_open(3) and CERT POS35-C, with the checks made on the descriptor. Owner, mode
// and number of links are facts that the caller judges.

#include "token_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

// O_NONBLOCK: opening a FIFO would wait for a peer. It has no effect on a regular file.
static const int kSafeOpenFlags = O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;

static void Refuse(TokenReading* reading, const char* problem, int error) {
  reading->problem = problem;
  reading->error = error;
  reading->memory.Wipe();
}

/** Reads to the file's end, at most `capacity` bytes: how many, or -errno. */
static ssize_t ReadUpTo(int descriptor, uint8_t* target, size_t capacity) {
  size_t length = 0;
  while (length < capacity) {
    const ssize_t count = read(descriptor, target + length, capacity - length);
    if (count == 0) break;
    if (count > 0) length += static_cast<size_t>(count);
    else if (errno != EINTR) return -errno;
  }
  return static_cast<ssize_t>(length);
}

static bool IsTrailingSpace(uint8_t byte) { return byte == '\n' || byte == '\r' || byte == ' ' || byte == '\t'; }

static size_t LengthWithoutTrailingSpace(const uint8_t* bytes, size_t length) {
  while (length > 0 && IsTrailingSpace(bytes[length - 1])) length--;
  return length;
}

/** Visible ASCII, so that the token can stand in a header field (RFC 9110, section 5.5) and add no line of its own. */
static bool IsVisibleAscii(const uint8_t* bytes, size_t length) {
  for (size_t i = 0; i < length; i++) {
    if (bytes[i] < 0x21 || bytes[i] > 0x7e) return false;
  }
  return true;
}

static void ExamineFile(int descriptor, size_t max_bytes, TokenReading* reading) {
  const int error = ReadDescriptorFacts(descriptor, &reading->facts);
  if (error != 0) return Refuse(reading, "open", error);
  reading->examined = true;
  if (!IsRegularFile(reading->facts)) return Refuse(reading, "not-regular", 0);
  // Also true of the files of /proc, some of which wait, or lose what they give.
  if (reading->facts.size == 0) return Refuse(reading, "empty", 0);
  if (reading->facts.size > max_bytes) return Refuse(reading, "too-large", 0);
}

static void ReadToken(int descriptor, size_t max_bytes, TokenReading* reading) {
  // One byte more than allowed, because the file may have grown since it was examined.
  const int error = reading->memory.Allocate(max_bytes + 1);
  if (error != 0) return Refuse(reading, "memory", error);
  const uint8_t* bytes = reading->memory.data();
  const ssize_t length = ReadUpTo(descriptor, reading->memory.data(), max_bytes + 1);
  if (length < 0) return Refuse(reading, "read", static_cast<int>(length));
  if (static_cast<size_t>(length) > max_bytes) return Refuse(reading, "too-large", 0);
  reading->length = LengthWithoutTrailingSpace(bytes, static_cast<size_t>(length));
  if (reading->length == 0) return Refuse(reading, "empty", 0);
  if (!IsVisibleAscii(bytes, reading->length)) return Refuse(reading, "charset", 0);
}

TokenReading ReadTokenFile(const char* path, size_t max_bytes) {
  TokenReading reading;
  const int descriptor = open(path, O_RDONLY | kSafeOpenFlags);
  if (descriptor < 0) {
    Refuse(&reading, "open", -errno);
    return reading;
  }
  ExamineFile(descriptor, max_bytes, &reading);
  if (reading.problem == nullptr) ReadToken(descriptor, max_bytes, &reading);
  close(descriptor);
  return reading;
}

/** 0 if the path still names the file; -ESTALE if it names another (a symbolic link is another); or -errno. */
static int CheckSameFile(const char* path, const FileFacts& expected) {
  FileFacts facts;
  const int error = ReadPathFacts(path, &facts);
  if (error != 0) return error;
  return IsSameFile(facts, expected) ? 0 : -ESTALE;
}

/** Best effort: a file that this process may read and unlink, it need not be able to write. */
static void EmptyFile(const char* path, const FileFacts& expected) {
  const int descriptor = open(path, O_WRONLY | kSafeOpenFlags);
  if (descriptor < 0) return;
  FileFacts facts;
  const bool same = ReadDescriptorFacts(descriptor, &facts) == 0 && IsSameFile(facts, expected);
  if (same && ftruncate(descriptor, 0) != 0) {
    // Unlinking is still worth it.
  }
  close(descriptor);
}

int RemoveTokenFile(const char* path, const FileFacts& read_from) {
  int error = CheckSameFile(path, read_from);
  if (error != 0) return error;
  EmptyFile(path, read_from);
  // Again, since opening took time. Linux has no unlink by descriptor: what remains is the gap to the next line.
  error = CheckSameFile(path, read_from);
  if (error != 0) return error;
  return unlink(path) == 0 ? 0 : -errno;
}
