// SPDX-License-Identifier: LGPL-2.1-or-later
#include "server/service_manager.h"

#include <cstdlib>
#include <cstring>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

using ringmix::os::Descriptor;
using namespace ringmix::server;

namespace {

struct TemporaryDirectory {
    TemporaryDirectory() { REQUIRE(::mkdtemp(path) != nullptr); }
    ~TemporaryDirectory()
    {
        ::unlink(file("s").c_str());
        ::rmdir(path);
    }
    std::string file(const char* name) const { return std::string(path) + "/" + name; }
    char path[32] = "/tmp/ringmix-test-XXXXXX";
};

// A socket of `type` bound to `path`; "@..." is an abstract name.
Descriptor bound(int type, const std::string& path)
{
    Descriptor socket(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    const auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
    REQUIRE(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), bytes) == 0);
    return socket;
}

std::string waiting(int socket)
{
    char text[256];
    const ssize_t bytes = ::recv(socket, text, sizeof text, MSG_DONTWAIT);
    return bytes < 0 ? "nothing" : std::string(text, static_cast<std::size_t>(bytes));
}

// Puts a descriptor at number 3, and back what was there.
class AsThree {
public:
    explicit AsThree(int fd) : saved_(::fcntl(3, F_DUPFD_CLOEXEC, 10)) { REQUIRE(::dup2(fd, 3) == 3); }
    ~AsThree()
    {
        if (saved_)
            ::dup2(saved_.get(), 3);
        else
            ::close(3);
    }

private:
    Descriptor saved_;
};

// Sockets of these tests stay away from number 3.
Descriptor high(Descriptor low) { return Descriptor(::fcntl(low.get(), F_DUPFD_CLOEXEC, 10)); }

void set_variables(const std::string& pid, const std::string& count)
{
    ::setenv("LISTEN_PID", pid.c_str(), 1);
    ::setenv("LISTEN_FDS", count.c_str(), 1);
    ::setenv("LISTEN_FDNAMES", "ringmix", 1);
}

bool variables_gone()
{
    return std::getenv("LISTEN_PID") == nullptr && std::getenv("LISTEN_FDS") == nullptr &&
           std::getenv("LISTEN_FDNAMES") == nullptr;
}

std::string own_pid() { return std::to_string(::getpid()); }

} // namespace

TEST_CASE("notify_manager: path, abstract name, nobody")
{
    const TemporaryDirectory directory;
    const std::string path = directory.file("s");
    const Descriptor manager = bound(SOCK_DGRAM, path);
    ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
    notify_manager("READY=1\nSTATUS=playing");
    CHECK(waiting(manager.get()) == "READY=1\nSTATUS=playing");

    const std::string name = "@ringmix-test-" + own_pid();
    const Descriptor abstract = bound(SOCK_DGRAM, name);
    ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
    notify_manager("STOPPING=1");
    CHECK(waiting(abstract.get()) == "STOPPING=1");

    // None of these may do anything, least of all loudly.
    for (const std::string& other : {std::string(), std::string("/"), std::string("@"), std::string("relative"),
                                     directory.file("none"), "/" + std::string(300, 'x')}) {
        ::setenv("NOTIFY_SOCKET", other.c_str(), 1);
        notify_manager("READY=1");
    }
    ::unsetenv("NOTIFY_SOCKET");
    notify_manager("READY=1");
    CHECK(waiting(manager.get()) == "nothing");
    CHECK(waiting(abstract.get()) == "nothing");
}

TEST_CASE("passed_listener: a listening socket of packets")
{
    const TemporaryDirectory directory;
    const Descriptor listener = high(bound(SOCK_SEQPACKET, directory.file("s")));
    REQUIRE(::listen(listener.get(), 4) == 0);
    const AsThree three(listener.get());
    set_variables(own_pid(), "1");
    Descriptor passed = passed_listener();
    CHECK(passed.get() == 3);
    CHECK((::fcntl(3, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((::fcntl(3, F_GETFL) & O_NONBLOCK) != 0);
    CHECK(variables_gone());
    CHECK_FALSE(passed_listener()); // only once
}

TEST_CASE("passed_listener: nothing for us")
{
    CHECK_FALSE(passed_listener());
    set_variables("1", "1");
    CHECK_FALSE(passed_listener());
    CHECK(variables_gone());
    set_variables(own_pid() + "0", "1");
    CHECK_FALSE(passed_listener());
    set_variables(own_pid(), "0");
    CHECK_FALSE(passed_listener());
    set_variables("", "");
    CHECK_FALSE(passed_listener());
    set_variables("me", "1");
    CHECK_FALSE(passed_listener());
}

TEST_CASE("passed_listener: what is no such socket is refused")
{
    const TemporaryDirectory directory;
    const auto refused = [](int fd) {
        const AsThree three(fd);
        set_variables(own_pid(), "1");
        CHECK_THROWS_AS(passed_listener(), std::runtime_error);
        CHECK(variables_gone());
    };
    SUBCASE("a stream")
    {
        const Descriptor stream = high(bound(SOCK_STREAM, directory.file("s")));
        REQUIRE(::listen(stream.get(), 4) == 0);
        refused(stream.get());
    }
    SUBCASE("not listening") { refused(high(bound(SOCK_SEQPACKET, directory.file("s"))).get()); }
    SUBCASE("one end of a pair")
    {
        int pair[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
        const Descriptor first = high(Descriptor(pair[0]));
        const Descriptor second = high(Descriptor(pair[1]));
        refused(first.get());
    }
    SUBCASE("another network") { refused(high(Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))).get()); }
    SUBCASE("no socket") { refused(high(Descriptor(::open("/dev/null", O_RDWR | O_CLOEXEC))).get()); }
    for (const char* count : {"-1", "many", "1x", "1000"}) {
        set_variables(own_pid(), count);
        CHECK_THROWS_AS(passed_listener(), std::runtime_error);
    }
}
