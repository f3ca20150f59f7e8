// SPDX-License-Identifier: LGPL-2.1-or-later

#include "os/lock_file.h"

#include "support.h"

#include <doctest/doctest.h>
#include <unistd.h>

using namespace ringmix::os;
using namespace ringmix::test;

// What root makes must be passable for the users of a system's server.
const unsigned made_mode = ::geteuid() == 0 ? 0755 : 0700;

TEST_CASE("one holder at a time")
{
    const TemporaryDirectory directory;
    const std::string path = directory / "x.lock";
    Descriptor first = try_lock_file(path);
    REQUIRE(first);
    CHECK(closes_on_exec(first.get()));
    CHECK_FALSE(try_lock_file(path));
    CHECK(in_child([&] { return try_lock_file(path) ? 1 : 0; }) == 0);
    first.reset();
    CHECK(try_lock_file(path));
}

TEST_CASE("a lock dies with its holder")
{
    const TemporaryDirectory directory;
    const std::string path = directory / "x.lock";
    CHECK(in_child([&] { return try_lock_file(path).release() >= 0 ? 0 : 1; }) == 0);
    CHECK(try_lock_file(path));
}

TEST_CASE("lock files are the owner's, and their directories are made")
{
    const TemporaryDirectory directory;
    const std::string path = directory / "a/b/x.lock";
    CHECK(try_lock_file(path));
    CHECK(mode_of(path) == 0600);
    CHECK(mode_of(directory / "a/b") == made_mode);
    CHECK(mode_of(directory / "a") == made_mode);
}

TEST_CASE("a lock file that cannot be made is an error with its path")
{
    const TemporaryDirectory directory;
    const Descriptor file(::open((directory / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    const auto below_file = error_of([&] { try_lock_file(directory / "file/x.lock"); });
    CHECK(below_file.code().value() == ENOTDIR);
    CHECK(mentions(below_file, directory / "file/x.lock"));
    const auto below_new = error_of([&] { try_lock_file(directory / "file/new/x.lock"); });
    CHECK(below_new.code().value() == ENOTDIR);
    CHECK(mentions(below_new, directory / "file/new/x.lock"));
    CHECK(error_of([&] { try_lock_file(directory.path()); }).code().value() == EISDIR);
}

TEST_CASE("a symbolic link is not followed")
{
    const TemporaryDirectory directory;
    REQUIRE(::symlink((directory / "target").c_str(), (directory / "x.lock").c_str()) == 0);
    CHECK(error_of([&] { try_lock_file(directory / "x.lock"); }).code().value() == ELOOP);
    CHECK(::access((directory / "target").c_str(), F_OK) < 0);
}
