// stat(2) in whichever form binds the addon to no recent C library.

#include "file_facts.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __GLIBC__
#include <sys/syscall.h>
#include <sys/sysmacros.h>

// glibc exports stat and fstat since 2.33 only, and statx since 2.28: the system call (Linux 4.11) is older than both.
static int KernelStatx(int directory, const char* path, int flags, FileFacts* facts) {
  struct statx stat;
  if (syscall(SYS_statx, directory, path, flags, STATX_BASIC_STATS, &stat) != 0) return -errno;
  const uint64_t dev = makedev(stat.stx_dev_major, stat.stx_dev_minor);
  *facts = {dev, stat.stx_ino, stat.stx_size, stat.stx_mode, stat.stx_uid, stat.stx_nlink};
  return 0;
}

int ReadDescriptorFacts(int descriptor, FileFacts* facts) { return KernelStatx(descriptor, "", AT_EMPTY_PATH, facts); }

int ReadPathFacts(const char* path, FileFacts* facts) {
  return KernelStatx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, facts);
}
#else
static int FactsOf(int result, const struct stat& stat, FileFacts* facts) {
  if (result != 0) return -errno;
  facts->dev = static_cast<uint64_t>(stat.st_dev);
  facts->ino = static_cast<uint64_t>(stat.st_ino);
  facts->size = static_cast<uint64_t>(stat.st_size);
  facts->mode = static_cast<uint32_t>(stat.st_mode);
  facts->uid = static_cast<uint32_t>(stat.st_uid);
  facts->nlink = static_cast<uint32_t>(stat.st_nlink);
  return 0;
}

int ReadDescriptorFacts(int descriptor, FileFacts* facts) {
  struct stat stat;
  return FactsOf(fstat(descriptor, &stat), stat, facts);
}

int ReadPathFacts(const char* path, FileFacts* facts) {
  struct stat stat;
  return FactsOf(lstat(path, &stat), stat, facts);
}
#endif

bool IsRegularFile(const FileFacts& facts) { return S_ISREG(facts.mode); }

bool IsSameFile(const FileFacts& one, const FileFacts& other) { return one.dev == other.dev && one.ino == other.ino; }
