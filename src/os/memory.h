// SPDX-License-Identifier: LGPL-2.1-or-later
//
// memory.h: memory files and mappings. Set-up paths only: may block, throws std::system_error.

#pragma once

#include "os/descriptor.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace ringmix::os {

// A mapping of `bytes` bytes; unmapped when destroyed.
class Mapping {
public:
    Mapping() noexcept = default;
    Mapping(Mapping&& other) noexcept;
    Mapping& operator=(Mapping&& other) noexcept;
    ~Mapping();

    std::byte* data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    explicit operator bool() const noexcept { return data_ != nullptr; }

    // Maps `bytes` bytes of `fd` at `offset`, shared, for reading and (if `writable`) writing.
    // `what` names the object in errors.
    static Mapping shared(int fd, std::size_t bytes, std::uint64_t offset, bool writable, const char* what);
    // The same for reading and writing a file that is mostly empty, from its beginning: no page becomes present by
    // it, also not in a program that locks its memory (mlockall with MCL_FUTURE).
    static Mapping sparse(int fd, std::size_t bytes, const char* what);
    // One private page that reads as zeros in a child after fork() (MADV_WIPEONFORK).
    static Mapping wiped_on_fork();

private:
    Mapping(std::byte* data, std::size_t size) noexcept : data_(data), size_(size) {}
    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

// A memory file of `bytes` zero bytes that can neither shrink, grow nor be unsealed
// (memfd with F_SEAL_SHRINK|GROW|SEAL), close-on-exec.
Descriptor make_sealed_memory(const char* name, std::size_t bytes);

// Makes bytes of such a file present, so that touching them needs no more memory: throws std::system_error
// (ENOMEM, ENOSPC) where there is none. And gives their memory back: they read as zeros again. Whole pages.
void provide(int fd, std::uint64_t offset, std::uint64_t bytes);
void give_back(int fd, std::uint64_t offset, std::uint64_t bytes) noexcept;
std::size_t page_bytes() noexcept;

// Checks that `fd` is a memory file of at least `bytes` bytes, sealed against shrinking, so that
// touching a mapping of it can never raise SIGBUS. Throws std::system_error (EPROTO) naming `what`.
void require_sealed_memory(int fd, std::size_t bytes, const char* what);

// Makes pages present before they are needed, so that a first access does not wait for the kernel (or for a
// disk): those of a writable mapping, and those of the code that calls this (the program or library it is
// in; returns their size). Hints: older kernels than 5.14 do less.
void touch(std::byte* data, std::size_t bytes) noexcept;
std::size_t touch_own_code() noexcept;

} // namespace ringmix::os
