// Lets Debian 12's user-mode Linux (6.1) run on processors with AMX (Intel, since Sapphire Rapids).
//
// The guest restores the floating point registers of its processes with PTRACE_SETREGSET of 2696 bytes,
// enough for AVX-512 and PKRU. Where the processor has more, Linux refuses anything but the whole
// (EFAULT), and the guest's first process dies. Preloaded, this hands over the whole: what the guest does
// not know of stays in its initial state, and no process of the guest can use it anyhow.

#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { GETREGSET = 0x4204, SETREGSET = 0x4205, NT_X86_XSTATE = 0x202 };
// Intel SDM, volume 1, 13.4: XSTATE_BV is the first word of the header, behind 512 bytes of legacy state.
enum { HEADER = 512, ROOM = 1 << 16 };
// x87, SSE, AVX, MPX, AVX-512, PT, PKRU.
static const uint64_t KNOWN = 0x3ff;

// One thread of the guest runs its processor; and its stacks have no room for this.
static unsigned char whole[ROOM] __attribute__((aligned(64)));
static size_t size;

static long kernel(long request, long pid, void *address, void *data) {
  return syscall(SYS_ptrace, request, pid, address, data);
}

static long set_whole(long pid, void *address, const struct iovec *part) {
  struct iovec all = {whole, ROOM};
  if (size == 0) {
    if (kernel(GETREGSET, pid, address, &all) != 0) return -1;
    size = all.iov_len;
  }
  if (part->iov_len > size || part->iov_len < HEADER + sizeof(uint64_t)) {
    errno = EFAULT;
    return -1;
  }
  memset(whole, 0, size);
  memcpy(whole, part->iov_base, part->iov_len);
  uint64_t present;
  memcpy(&present, whole + HEADER, sizeof present);
  present &= KNOWN;
  memcpy(whole + HEADER, &present, sizeof present);
  all.iov_len = size;
  return kernel(SETREGSET, pid, address, &all);
}

long ptrace(int request, ...) {
  va_list rest;
  va_start(rest, request);
  long pid = va_arg(rest, int);
  void *address = va_arg(rest, void *);
  void *data = va_arg(rest, void *);
  va_end(rest);
  // As the C library: what is peeked at is the answer.
  long peeked;
  int peeks = request >= 1 && request <= 3;
  if (peeks) data = &peeked;
  long done;
  if (request == SETREGSET && (long)address == NT_X86_XSTATE && size != 0) {
    done = set_whole(pid, address, data);
  } else {
    done = kernel(request, pid, address, data);
    if (done != 0 && errno == EFAULT && request == SETREGSET && (long)address == NT_X86_XSTATE) {
      done = set_whole(pid, address, data);
    }
  }
  if (peeks && done == 0) {
    errno = 0;
    return peeked;
  }
  return done;
}
