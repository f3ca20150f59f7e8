// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Where a socket can be made, and what is said where it cannot.

#include "os/socket.h"

#include "support.h"

#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <unistd.h>

using namespace ringmix::os;
using namespace ringmix::test;

TEST_CASE("where no socket can be made, nothing is made")
{
    const TemporaryDirectory directory;
    const auto refusal = [&](const std::string& path) { return error_of([&] { require_socket_place(path); }); };
    const auto listing = [&] {
        std::vector<std::string> names;
        for (const auto& entry : std::filesystem::directory_iterator(directory.path()))
            names.push_back(entry.path().filename());
        return names;
    };
    std::ofstream(directory / "file") << "mine";
    const auto taken = refusal(directory / "file");
    CHECK(taken.code().value() == EEXIST);
    CHECK((mentions(taken, directory / "file") && mentions(taken, "no socket") && mentions(taken, "--socket")));
    const auto within = refusal(directory / "file/x.sock");
    CHECK(within.code().value() == ENOTDIR);
    CHECK((mentions(within, "is no directory") && mentions(within, "--socket")));
    const auto impossible = refusal("/proc/nowhere/x.sock");
    CHECK((mentions(impossible, "/proc/nowhere ") && mentions(impossible, "does not exist") &&
           mentions(impossible, "--socket")));
    ::chmod(directory.path().c_str(), 0555);
    {
        const AsNobody as_nobody;
        const auto locked = refusal(directory / "x.sock");
        CHECK(locked.code().value() == EACCES);
        CHECK(mentions(locked, "directory " + directory.path() + " is not writable"));
        CHECK(mentions(locked, "--socket"));
    }
    ::chmod(directory.path().c_str(), 0700);
    CHECK(listing() == std::vector<std::string>{"file"});
    listen_at(directory / "x.sock", 0600).reset(); // stale
    require_socket_place(directory / "x.sock");
    CHECK(listing().size() == 2);
}

TEST_CASE("a directory that is not writable is named")
{
    const TemporaryDirectory directory;
    const std::string closed = directory / "closed";
    REQUIRE(::mkdir(closed.c_str(), 0500) == 0);
    REQUIRE(::chmod(closed.c_str(), 0555) == 0);
    REQUIRE(::chmod(directory.path().c_str(), 0755) == 0);
    const AsNobody user;
    for (const char* place : {"/x.sock", "/new/x.sock"}) {
        const auto error = error_of([&] { listen_at(closed + place, 0600); });
        CHECK(error.code().value() == EACCES);
        CHECK(mentions(error, "directory " + closed));
        CHECK(mentions(error, "--socket"));
    }
}
