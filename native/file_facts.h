// What the kernel says about a file. No judgement of it.

#ifndef CCR_UPSTREAM_PROXY_FILE_FACTS_H
#define CCR_UPSTREAM_PROXY_FILE_FACTS_H

#include <stdint.h>

struct FileFacts {
  uint64_t dev;
  uint64_t ino;
  uint64_t size;
  uint32_t mode;
  uint32_t uid;
  uint32_t nlink;
};

/** fstat(2): 0, or -errno. */
int ReadDescriptorFacts(int descriptor, FileFacts* facts);

/** lstat(2), which does not follow a symbolic link at the path's end: 0, or -errno. */
int ReadPathFacts(const char* path, FileFacts* facts);

bool IsRegularFile(const FileFacts& facts);
bool IsSameFile(const FileFacts& one, const FileFacts& other);

#endif
