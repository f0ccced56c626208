// Reading a token file, and removing it. Plain system calls; JavaScript sees them through token_file.h.

#ifndef CCR_UPSTREAM_PROXY_TOKEN_READER_H
#define CCR_UPSTREAM_PROXY_TOKEN_READER_H

#include "file_facts.h"
#include "secret_memory.h"

struct TokenReading {
  /** Null on success. Else what was wrong, and the -errno of the system call that failed, or 0 if none did. */
  const char* problem = nullptr;
  int error = 0;
  /** Whether `facts` were reached. */
  bool examined = false;
  FileFacts facts = {};
  /** The token's bytes, from the start; empty unless it was read. */
  SecretMemory memory;
  size_t length = 0;
};

/** Opens a regular file without following a link or waiting, and reads a token of visible ASCII from it. */
TokenReading ReadTokenFile(const char* path, size_t max_bytes);

/**
 * Empties and unlinks what is at the path, if it is still the file that was read: 0, or -errno; -ESTALE if it is
 * another. Emptied first, because a descriptor that somebody opened earlier would go on reading an unlinked file.
 */
int RemoveTokenFile(const char* path, const FileFacts& read_from);

#endif
