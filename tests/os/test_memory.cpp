// SPDX-License-Identifier: LGPL-2.1-or-later

#include "os/memory.h"

#include "support.h"

#include <algorithm>
#include <cstdio>
#include <doctest/doctest.h>
#include <fstream>
#include <sstream>
#include <string>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

using namespace ringmix::os;
using namespace ringmix::test;

namespace {

constexpr std::size_t size = 3 * 4096 + 100;

} // namespace

TEST_CASE("sealed memory is zero, shared and close-on-exec")
{
    const Descriptor memory = make_sealed_memory("test", size);
    CHECK(closes_on_exec(memory.get()));
    const Mapping writer = Mapping::shared(memory.get(), size, 0, true, "test");
    const Mapping reader = Mapping::shared(memory.get(), size, 0, false, "test");
    REQUIRE(writer);
    CHECK(reader.size() == size);
    CHECK(std::all_of(reader.data(), reader.data() + size, [](std::byte b) { return b == std::byte{0}; }));
    writer.data()[size - 1] = std::byte{42};
    CHECK(reader.data()[size - 1] == std::byte{42});
}

TEST_CASE("sealed memory can neither shrink, grow nor be unsealed")
{
    const Descriptor memory = make_sealed_memory("test", size);
    CHECK(::ftruncate(memory.get(), 0) < 0);
    CHECK(errno == EPERM);
    CHECK(::ftruncate(memory.get(), 2 * size) < 0);
    CHECK(errno == EPERM);
    CHECK(::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_WRITE) < 0);
    CHECK(errno == EPERM);
}

TEST_CASE("sealed memory of enough bytes is accepted")
{
    const Descriptor memory = make_sealed_memory("test", size);
    CHECK_NOTHROW(require_sealed_memory(memory.get(), size, "the board"));
    CHECK_NOTHROW(require_sealed_memory(memory.get(), 0, "the board"));
}

TEST_CASE("memory that is too small is rejected by name")
{
    const Descriptor memory = make_sealed_memory("test", size);
    const auto error = error_of([&] { require_sealed_memory(memory.get(), size + 1, "the board"); });
    CHECK(error.code().value() == EPROTO);
    CHECK(mentions(error, "the board"));
    CHECK(mentions(error, std::to_string(size + 1)));
}

TEST_CASE("what could shrink under a reader is rejected")
{
    const auto rejects = [](int fd) {
        return error_of([&] { require_sealed_memory(fd, 1, "the arena"); }).code().value() == EPROTO;
    };
    const Descriptor unsealed(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    REQUIRE(::ftruncate(unsealed.get(), size) == 0);
    CHECK(rejects(unsealed.get()));
    REQUIRE(::fcntl(unsealed.get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_WRITE) == 0);
    CHECK(rejects(unsealed.get()));
    REQUIRE(::fcntl(unsealed.get(), F_ADD_SEALS, F_SEAL_SHRINK) == 0);
    CHECK_FALSE(rejects(unsealed.get()));

    const TemporaryDirectory directory;
    const Descriptor file(::open((directory / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    REQUIRE(::ftruncate(file.get(), size) == 0);
    CHECK(rejects(file.get()));
    CHECK(rejects(Pipe().reading.get()));
    CHECK(rejects(-1));
}

TEST_CASE("a mapping that fails names its object")
{
    const auto error = error_of([] { Mapping::shared(-1, 4096, 0, true, "the device's ring"); });
    CHECK(error.code().value() == EBADF);
    CHECK(mentions(error, "the device's ring"));
}

TEST_CASE("a mapping can be moved and is unmapped once")
{
    const Descriptor memory = make_sealed_memory("test", size);
    Mapping a = Mapping::shared(memory.get(), size, 0, true, "a");
    std::byte* const first = a.data();
    Mapping b(std::move(a));
    CHECK_FALSE(a);
    CHECK(a.size() == 0);
    CHECK(b.data() == first);
    b = Mapping::shared(memory.get(), size, 0, true, "b");
    CHECK(b.data() != nullptr);
    // msync() answers ENOMEM for what is not mapped.
    CHECK((b.data() == first || (::msync(first, 4096, MS_ASYNC) < 0 && errno == ENOMEM)));
    b = Mapping();
    CHECK_FALSE(b);
}

TEST_CASE("a second offset maps the second page")
{
    const Descriptor memory = make_sealed_memory("test", size);
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const Mapping whole = Mapping::shared(memory.get(), 2 * page, 0, true, "whole");
    const Mapping second = Mapping::shared(memory.get(), page, page, false, "second");
    whole.data()[page] = std::byte{7};
    CHECK(second.data()[0] == std::byte{7});
}

TEST_CASE("a sparse mapping has memory only where it is provided, also in a program that locks its memory")
{
    constexpr std::size_t large = 64 << 20;
    const auto present = [](const Descriptor& memory) {
        struct stat status {};
        return ::fstat(memory.get(), &status) == 0 ? status.st_blocks * 512 : -1;
    };
    for (const bool locked : {false, true}) {
        CAPTURE(locked);
        CHECK(in_child([&] {
                  if (locked && ::mlockall(MCL_FUTURE) < 0)
                      return errno == EPERM || errno == ENOMEM ? 0 : 1; // not allowed here
                  const Descriptor memory = make_sealed_memory("test", large);
                  const Mapping mapping = Mapping::sparse(memory.get(), large, "test");
                  if (present(memory) != 0)
                      return 2;
                  provide(memory.get(), 4096 * 16, 4096 * 16);
                  mapping.data()[4096 * 16] = std::byte{1};
                  if (present(memory) != 4096 * 16)
                      return 3;
                  give_back(memory.get(), 4096 * 16, 4096 * 16);
                  return present(memory) == 0 && mapping.data()[4096 * 16] == std::byte{0} ? 0 : 4;
              }) == 0);
    }
}

// A sanitizer's own memory is more than may be locked.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif
#else
constexpr bool sanitized = false;
#endif

TEST_CASE("a program that may lock only a little is told what to do" * doctest::skip(sanitized))
{
    CHECK(in_child([] {
              const rlimit little{8 << 20, 8 << 20};
              if (::setrlimit(RLIMIT_MEMLOCK, &little) < 0 ||
                  (::geteuid() == 0 && ::setresuid(nobody, nobody, nobody) < 0) || ::mlockall(MCL_FUTURE) < 0)
                  return 1;
              const Descriptor memory = make_sealed_memory("test", 64 << 20);
              const auto error = error_of([&] { Mapping::sparse(memory.get(), 64 << 20, "arena"); });
              const std::string text = error.what();
              return error.code().value() == EAGAIN && text.find("ulimit -l") != std::string::npos ? 0 : 2;
          }) == 0);
}

TEST_CASE("touched pages are there")
{
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const auto memory = make_sealed_memory("touched", 512 * page);
    const auto mapping = Mapping::shared(memory.get(), 512 * page, 0, true, "touched");
    const auto resident = [&] { // bytes, as /proc/self/smaps tells
        std::ifstream smaps("/proc/self/smaps");
        std::ostringstream start;
        start << std::hex << reinterpret_cast<std::uintptr_t>(mapping.data()) << '-';
        std::size_t kilobytes = 0;
        std::string line;
        while (std::getline(smaps, line) && !line.starts_with(start.str()))
            continue;
        while (std::getline(smaps, line) && !line.starts_with("Rss:"))
            continue;
        REQUIRE(std::sscanf(line.c_str(), "Rss: %zu", &kilobytes) == 1);
        return kilobytes * 1024;
    };
    CHECK(resident() == 0);
    // From the middle of the second page into the last but one.
    touch(mapping.data() + page + page / 2, 509 * page);
    if (madvise(mapping.data(), page, 23) < 0) // MADV_POPULATE_WRITE
        MESSAGE("this kernel (before Linux 5.14) cannot do it");
    else
        CHECK(resident() == 511 * page); // the first page by the line above
    CHECK(touch_own_code() > 1000);
}

TEST_CASE("a page that is wiped on fork is zero in the child only")
{
    const Mapping page = Mapping::wiped_on_fork();
    volatile std::byte* const mark = page.data();
    *mark = std::byte{1};
    CHECK(in_child([&] { return *mark == std::byte{0} ? 0 : 1; }) == 0);
    CHECK(*mark == std::byte{1});
}
