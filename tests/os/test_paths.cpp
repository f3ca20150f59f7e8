// SPDX-License-Identifier: LGPL-2.1-or-later

#include "os/paths.h"

#include "support.h"

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

TEST_CASE("without a usable runtime directory it is the system's")
{
    const Variable socket("RINGMIX_SOCKET", "");
    for (const char* useless : {static_cast<const char*>(nullptr), "", "relative/path"}) {
        const Variable runtime("XDG_RUNTIME_DIR", useless);
        CHECK(as_user([] { return server_socket_path("x") == "/run/ringmix/x.sock"; }));
        CHECK(client_socket_paths("x") == Paths{"/run/ringmix/x.sock"});
    }
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
