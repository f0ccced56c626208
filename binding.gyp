# The native addon. This file is not in the published package, where npm would take it for an order to compile: `npm ci`
# knows a dependency by its lock file alone, and there is no word of `gypfile: false` in that.
#
# It links to the C library alone: node-addon-api's headers use templates of the C++ library, and the
# few functions behind those are in runtime_support.cc, so that one file loads on every distribution.
{
  'variables': {
    # What prebuild.mjs builds for; a build for the machine itself leaves it empty.
    'prebuilt_libc': '<!(node -p "process.env.PREBUILD_LIBC || String()")',
  },
  'targets': [{
    'target_name': 'ccr_upstream_proxy',
    'sources': [
      'native/addon.cc',
      'native/file_facts.cc',
      'native/frame_encoder.cc',
      'native/frame_layout.cc',
      'native/mask.cc',
      'native/process.cc',
      'native/secret_memory.cc',
      'native/token_file.cc',
      'native/token_reader.cc',
    ],
    'include_dirs': ['<!(node -p "require(\'node-addon-api\').include_dir")'],
    'defines': ['NAPI_VERSION=8', 'NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS'],
    'cflags!': ['-O3', '-g'],
    'cflags': [
      '-O2', '-Wall', '-Wextra', '-fstack-protector-strong',
      '-fvisibility=hidden', '-ffunction-sections', '-fdata-sections',
    ],
    # C++20: from there on, libstdc++'s headers instantiate std::string here instead of expecting it in libstdc++.so.
    'cflags_cc': [
      '-std=c++20', '-fno-exceptions', '-fno-rtti', '-fno-threadsafe-statics', '-fvisibility-inlines-hidden',
    ],
    'xcode_settings': {
      'GCC_ENABLE_CPP_EXCEPTIONS': 'NO',
      'GCC_ENABLE_CPP_RTTI': 'NO',
      'GCC_SYMBOLS_PRIVATE_EXTERN': 'YES',
      'CLANG_CXX_LANGUAGE_STANDARD': 'c++20',
      'MACOSX_DEPLOYMENT_TARGET': '11.0',
    },
    'conditions': [
      ['OS=="linux"', {
        'sources': ['native/runtime_support.cc'],
        'defines': ['_FORTIFY_SOURCE=2'],
        'ldflags': [
          '-nodefaultlibs',
          '-static-libgcc',
          '-Wl,-z,now',
          '-Wl,-z,relro',
          '-Wl,-z,noexecstack',
          '-Wl,--gc-sections',
          '-Wl,--build-id=none',
          '-Wl,--version-script=<(module_root_dir)/native/exports.map',
        ],
        'libraries': ['-lgcc'],
      }],
      ['OS=="linux" and prebuilt_libc=="musl"', {
        # The compiler's start files and -lc are glibc's. Without either, the file names no library at all: the dynamic
        # linker finds each function in the process, where musl's libc always is.
        'ldflags': ['-nostartfiles'],
      }, 'OS=="linux"', {
        'libraries': ['-lc'],
      }],
      ['OS=="linux" and target_arch=="arm64"', {
        # libgcc's choice of atomic instructions at run time calls a function of glibc's own.
        'cflags': ['-mno-outline-atomics'],
      }],
    ],
  }],
}
