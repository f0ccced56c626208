// What Debian's libstdc++ headers take from glibc's and musl's do not have; included ahead of every file when the addon
// is compiled against musl's headers. Only declarations are concerned: no locale, character class or clock is ever used.

#ifndef CCR_UPSTREAM_PROXY_MUSL_LIBSTDCXX_H
#define CCR_UPSTREAM_PROXY_MUSL_LIBSTDCXX_H

#define __GLIBC_PREREQ(major, minor) 0
#define __locale_t locale_t

#include <bits/c++config.h>
#undef _GLIBCXX_USE_PTHREAD_COND_CLOCKWAIT
#undef _GLIBCXX_USE_PTHREAD_MUTEX_CLOCKLOCK

// bits/ctype_base.h
enum {
  _ISupper = 1 << 0,
  _ISlower = 1 << 1,
  _ISalpha = 1 << 2,
  _ISdigit = 1 << 3,
  _ISxdigit = 1 << 4,
  _ISspace = 1 << 5,
  _ISprint = 1 << 6,
  _ISblank = 1 << 7,
  _IScntrl = 1 << 8,
  _ISpunct = 1 << 9,
  _ISalnum = 1 << 10,
};

#endif
