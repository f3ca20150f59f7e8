// SPDX-License-Identifier: LGPL-2.1-or-later

#include "os/paths.h"

#include "support.h"

#include <algorithm>
#include <doctest/doctest.h>

using namespace ringmix::os;
using namespace ringmix::test;
using Paths = std::vector<std::string>;

namespace {

// Evaluates `condition` as a user who is not root.
template <class Condition> bool as_user(Condition&& condition)
{
    return in_child([&] {
               if (::geteuid() == 0 && ::setresuid(nobody, nobody, nobody) < 0)
                   return 2;
               return condition() ? 0 : 1;
           }) == 0;
}

} // namespace

TEST_CASE("instance names")
{
    for (const char* good : {"default", "a", "Z9", "left.right_2-x", "-", "_", "a.."})
        CHECK(valid_instance_name(good));
    for (const char* bad : {"", ".", "..", ".hidden", "a/b", "../x", "a b", "a\n", "\xc3\xa4", "a:b"})
        CHECK_FALSE(valid_instance_name(bad));
    CHECK(valid_instance_name(std::string(64, 'x')));
    CHECK_FALSE(valid_instance_name(std::string(65, 'x')));
    CHECK_FALSE(valid_instance_name(std::string("a\0b", 3)));
}

TEST_CASE("RINGMIX_SOCKET is the only path if it is set")
{
    const Variable runtime("XDG_RUNTIME_DIR", "/run/user/1000");
    const Variable socket("RINGMIX_SOCKET", "/somewhere/else");
    CHECK(server_socket_path("x") == "/somewhere/else");
    CHECK(client_socket_paths("x") == Paths{"/somewhere/else"});
}

TEST_CASE("a user's server listens in the runtime directory")
{
    const Variable socket("RINGMIX_SOCKET", nullptr);
    const Variable runtime("XDG_RUNTIME_DIR", "/run/user/1000");
    CHECK(as_user([] { return server_socket_path("x") == "/run/user/1000/ringmix/x.sock"; }));
}

TEST_CASE("without a usable runtime directory it is the system's, or one of the user's own in /tmp")
{
    const Variable socket("RINGMIX_SOCKET", "");
    for (const char* useless : {static_cast<const char*>(nullptr), "", "relative/path"}) {
        const Variable runtime("XDG_RUNTIME_DIR", useless);
        CHECK(as_user([] {
            if (::access("/run/ringmix", W_OK | X_OK) == 0)
                return server_socket_path("x") == "/run/ringmix/x.sock";
            return server_socket_path("x") == "/tmp/ringmix-" + std::to_string(::geteuid()) + "/x.sock";
        }));
        CHECK(as_user([] { return client_socket_paths("x").front() == "/run/ringmix/x.sock"; }));
    }
}

// As a user whose directory nobody else uses.
TEST_CASE("the user's own directory in /tmp is believed only if it is the user's alone")
{
    if (::geteuid() != 0)
        return;
    constexpr uid_t stranger = 54321;
    const std::string own = "/tmp/ringmix-54321";
    const std::string path = own + "/x.sock";
    const auto as_stranger = [](auto&& condition) {
        return in_child([&] {
                   if (::setresuid(stranger, stranger, stranger) < 0)
                       return 2;
                   return condition() ? 0 : 1;
               }) == 0;
    };
    const auto offered = [&] {
        const Paths paths = client_socket_paths("x");
        return std::find(paths.begin(), paths.end(), path) != paths.end();
    };
    const auto makes = [&] {
        try {
            make_directories_for(path);
            return true;
        } catch (const std::system_error&) {
            return false;
        }
    };
    const Variable socket("RINGMIX_SOCKET", nullptr);
    const Variable runtime("XDG_RUNTIME_DIR", nullptr);
    std::filesystem::remove_all(own);
    CHECK(as_stranger([&] { return !offered(); }));
    CHECK(as_stranger(makes));
    CHECK(as_stranger(offered));
    CHECK(as_stranger(makes)); // again

    REQUIRE(::chmod(own.c_str(), 0755) == 0);
    CHECK(as_stranger([&] { return !offered() && !makes(); }));
    REQUIRE(::chmod(own.c_str(), 0700) == 0);
    REQUIRE(::chown(own.c_str(), nobody, nobody) == 0);
    CHECK(as_stranger([&] { return !offered() && !makes(); }));
    std::filesystem::remove_all(own);
    const TemporaryDirectory elsewhere;
    REQUIRE(::chown(elsewhere.path().c_str(), stranger, stranger) == 0);
    std::filesystem::create_directory_symlink(elsewhere.path(), own);
    CHECK(as_stranger([&] { return !offered() && !makes(); }));
    std::filesystem::remove(own);
}

TEST_CASE("root's server is the system's")
{
    if (::geteuid() != 0)
        return;
    const Variable socket("RINGMIX_SOCKET", nullptr);
    const Variable runtime("XDG_RUNTIME_DIR", "/run/user/1000");
    CHECK(server_socket_path("x") == "/run/ringmix/x.sock");
}

TEST_CASE("clients try the user's server, then the system's")
{
    const Variable socket("RINGMIX_SOCKET", nullptr);
    const Variable runtime("XDG_RUNTIME_DIR", "/run/user/1000");
    CHECK(client_socket_paths("x") == Paths{"/run/user/1000/ringmix/x.sock", "/run/ringmix/x.sock"});
}
