// SPDX-License-Identifier: LGPL-2.1-or-later

#include "os/memory.h"

#include "os/error.h"
#include <cerrno>
#include <fcntl.h>
#include <link.h>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U // Linux 6.3
#endif

// Linux 5.14
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

namespace ringmix::os {
namespace {

// The pages from the one that holds `start` on.
bool advise(std::uintptr_t start, std::size_t bytes, int advice) noexcept
{
    const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    const std::uintptr_t first = start / page * page;
    return ::madvise(reinterpret_cast<void*>(first), start + bytes - first, advice) == 0;
}

struct OwnCode {
    std::uintptr_t inside; // an address in it
    std::size_t bytes = 0;
};

// Called for each object; touches the segment that holds the address.
int touch_segment(dl_phdr_info* object, std::size_t, void* context)
{
    auto& code = *static_cast<OwnCode*>(context);
    for (int i = 0; i < object->dlpi_phnum && code.bytes == 0; i++) {
        const ElfW(Phdr)& segment = object->dlpi_phdr[i];
        const std::uintptr_t start = object->dlpi_addr + segment.p_vaddr;
        if (segment.p_type != PT_LOAD || code.inside < start || code.inside - start >= segment.p_memsz)
            continue;
        if (!advise(start, segment.p_memsz, MADV_POPULATE_READ))
            advise(start, segment.p_memsz, MADV_WILLNEED);
        code.bytes = segment.p_memsz;
    }
    return code.bytes != 0 ? 1 : 0;
}

int create_memory_file(const char* name) noexcept
{
    // Newer kernels complain about (or are told to refuse) memory files that could be executed;
    // older ones do not know the flag.
    const int fd = ::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    return fd >= 0 || errno != EINVAL ? fd : ::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

} // namespace

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0))
{
}

Mapping& Mapping::operator=(Mapping&& other) noexcept
{
    if (this != &other) {
        if (data_)
            ::munmap(data_, size_);
        data_ = std::exchange(other.data_, nullptr);
        size_ = std::exchange(other.size_, 0);
    }
    return *this;
}

Mapping::~Mapping()
{
    if (data_)
        ::munmap(data_, size_);
}

Mapping Mapping::shared(int fd, std::size_t bytes, std::uint64_t offset, bool writable, const char* what)
{
    const int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    void* data = ::mmap(nullptr, bytes, protection, MAP_SHARED, fd, static_cast<off_t>(offset));
    if (data == MAP_FAILED)
        fail(errno, "mmap ", what);
    return {static_cast<std::byte*>(data), bytes};
}

// A locked mapping is filled at once, but one that cannot be accessed is not; so it is unlocked before it can.
Mapping Mapping::sparse(int fd, std::size_t bytes, const char* what)
{
    void* data = ::mmap(nullptr, bytes, PROT_NONE, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED && errno == EAGAIN)
        fail(EAGAIN, "mmap ", what, ": this program locks its memory (mlockall), and ", std::to_string(bytes >> 10),
             " KiB are more than it may lock: raise its limit (ulimit -l, LimitMEMLOCK=, or memlock in "
             "limits.conf), or let it lock what it has (MCL_CURRENT) instead of all to come");
    if (data == MAP_FAILED)
        fail(errno, "mmap ", what);
    Mapping mapping(static_cast<std::byte*>(data), bytes);
    ::munlock(data, bytes);
    if (::mprotect(data, bytes, PROT_READ | PROT_WRITE) < 0)
        fail(errno, "mprotect ", what);
    return mapping;
}

Mapping Mapping::wiped_on_fork()
{
    const auto bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED)
        fail(errno, "mmap a page");
    Mapping page(static_cast<std::byte*>(data), bytes);
    if (::madvise(data, bytes, MADV_WIPEONFORK) < 0)
        fail(errno, "madvise MADV_WIPEONFORK (needs Linux 4.14)");
    return page;
}

Descriptor make_sealed_memory(const char* name, std::size_t bytes)
{
    Descriptor memory(create_memory_file(name));
    if (!memory)
        fail(errno, "memfd_create ", name);
    if (::ftruncate(memory.get(), static_cast<off_t>(bytes)) < 0)
        fail(errno, "ftruncate ", name, " to ", std::to_string(bytes), " bytes");
    if (::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        fail(errno, "seal ", name);
    return memory;
}

void provide(int fd, std::uint64_t offset, std::uint64_t bytes)
{
    while (::fallocate(fd, 0, static_cast<off_t>(offset), static_cast<off_t>(bytes)) < 0)
        if (errno != EINTR)
            fail(errno, "find memory for ", std::to_string(bytes), " bytes");
}

// Where it fails the memory stays as it is, to be used by what comes next.
void give_back(int fd, std::uint64_t offset, std::uint64_t bytes) noexcept
{
    ::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset), static_cast<off_t>(bytes));
}

std::size_t page_bytes() noexcept { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

void require_sealed_memory(int fd, std::size_t bytes, const char* what)
{
    // Files that cannot be sealed at all answer EINVAL.
    const int seals = ::fcntl(fd, F_GET_SEALS);
    if (seals < 0 || !(seals & F_SEAL_SHRINK))
        fail(EPROTO, what, ": not a memory file sealed against shrinking");
    struct stat status;
    if (::fstat(fd, &status) < 0)
        fail(errno, "fstat ", what);
    if (status.st_size < 0 || static_cast<std::uint64_t>(status.st_size) < bytes)
        fail(EPROTO, what, ": ", std::to_string(status.st_size), " bytes where ", std::to_string(bytes), " are needed");
}

void touch(std::byte* data, std::size_t bytes) noexcept
{
    advise(reinterpret_cast<std::uintptr_t>(data), bytes, MADV_POPULATE_WRITE);
}

std::size_t touch_own_code() noexcept
{
    OwnCode code{reinterpret_cast<std::uintptr_t>(&touch_own_code)};
    dl_iterate_phdr(touch_segment, &code);
    return code.bytes;
}

} // namespace ringmix::os
