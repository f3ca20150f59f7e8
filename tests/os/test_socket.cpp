// SPDX-License-Identifier: LGPL-2.1-or-later

#include "os/socket.h"

#include "os/timer.h"
#include "support.h"

#include <array>
#include <cstring>
#include <doctest/doctest.h>
#include <span>
#include <string_view>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

using namespace ringmix::os;
using namespace ringmix::test;

namespace {

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

struct Pair {
    Pair()
    {
        int ends[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
        a.reset(ends[0]);
        b.reset(ends[1]);
    }
    Descriptor a;
    Descriptor b;
};

struct Received : Packet {
    std::string text;
};

Received receive(int socket, int timeout_ms = patience_ms, std::size_t room = 256)
{
    std::vector<std::byte> buffer(room);
    Received received{receive_packet(socket, buffer, timeout_ms), {}};
    received.text.assign(reinterpret_cast<const char*>(buffer.data()), received.bytes);
    return received;
}

// A socket file without a server.
void leave_stale(const std::string& path)
{
    listen_at(path, 0600);
    REQUIRE(::access(path.c_str(), F_OK) == 0);
}

class Umask {
public:
    explicit Umask(mode_t mask) : before_(::umask(mask)) {}
    Umask(const Umask&) = delete;
    ~Umask() { ::umask(before_); }

private:
    mode_t before_;
};

} // namespace

// What root makes must be passable for the users of a system's server.
const unsigned made_mode = ::geteuid() == 0 ? 0755 : 0700;

TEST_CASE("client and server meet at a path")
{
    const TemporaryDirectory directory;
    const std::string path = directory / "new/directory/x.sock";
    const Descriptor listener = listen_at(path, 0600);
    CHECK(closes_on_exec(listener.get()));
    CHECK(mode_of(directory / "new") == made_mode);
    CHECK(mode_of(directory / "new/directory") == made_mode);
    CHECK_FALSE(accept_from(listener.get()));

    const Descriptor client = connect_to(path);
    CHECK(closes_on_exec(client.get()));
    REQUIRE(readable(listener.get(), patience_ms));
    const Descriptor server = accept_from(listener.get());
    REQUIRE(server);
    CHECK(closes_on_exec(server.get()));
    CHECK_FALSE(accept_from(listener.get()));

    send_packet(client.get(), bytes_of("hello"));
    send_packet(client.get(), bytes_of("again"));
    CHECK(receive(server.get()).text == "hello");
    CHECK(receive(server.get()).text == "again");
    const auto peer = peer_credentials(server.get());
    CHECK(peer.pid == ::getpid());
    CHECK(peer.uid == ::geteuid());
    CHECK(peer.gid == ::getegid());
}

TEST_CASE("the socket's mode is the one asked for, whatever the umask")
{
    const TemporaryDirectory directory;
    for (const mode_t mask : {mode_t{0}, mode_t{022}, mode_t{077}}) {
        const Umask umask(mask);
        for (const mode_t mode : {mode_t{0600}, mode_t{0660}, mode_t{0666}}) {
            listen_at(directory / "x.sock", mode);
            CHECK(mode_of(directory / "x.sock") == mode);
        }
    }
}

TEST_CASE("a path that is too long is refused with its limit")
{
    const std::string longest = "/tmp/" + std::string(102, 'x');
    CHECK(error_of([&] { connect_to(longest); }).code().value() == ENOENT);
    for (const auto& error :
         {error_of([&] { connect_to(longest + "x"); }), error_of([&] { listen_at(longest + "x", 0600); })}) {
        CHECK(error.code().value() == ENAMETOOLONG);
        CHECK(mentions(error, "107"));
        CHECK(mentions(error, "--socket"));
    }
}

TEST_CASE("a path must not become an abstract address")
{
    for (const std::string& path : {std::string(), std::string("\0x", 2)}) {
        CHECK(error_of([&] { connect_to(path); }).code().value() == EINVAL);
        CHECK(error_of([&] { listen_at(path, 0600); }).code().value() == EINVAL);
    }
}

TEST_CASE("connecting to nobody names the path")
{
    const TemporaryDirectory directory;
    const std::string path = directory / "x.sock";
    const auto missing = error_of([&] { connect_to(path); });
    CHECK(missing.code().value() == ENOENT);
    CHECK(mentions(missing, path));
    leave_stale(path);
    CHECK(error_of([&] { connect_to(path); }).code().value() == ECONNREFUSED);
}

TEST_CASE("a stale socket is replaced")
{
    const TemporaryDirectory directory;
    const std::string path = directory / "x.sock";
    leave_stale(path);
    const Descriptor listener = listen_at(path, 0600);
    CHECK(connect_to(path));
}

TEST_CASE("a socket with a server is not taken")
{
    const TemporaryDirectory directory;
    const std::string path = directory / "x.sock";
    const Descriptor listener = listen_at(path, 0600);
    const auto error = error_of([&] { listen_at(path, 0600); });
    CHECK(error.code().value() == EADDRINUSE);
    CHECK(mentions(error, path));
    CHECK(connect_to(path));
}

TEST_CASE("a server of another kind is not taken either")
{
    const TemporaryDirectory directory;
    const std::string path = directory / "x.sock";
    const Descriptor stream(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    REQUIRE(::bind(stream.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
    REQUIRE(::listen(stream.get(), 1) == 0);
    CHECK(error_of([&] { listen_at(path, 0600); }).code().value() == EADDRINUSE);
    CHECK(error_of([&] { connect_to(path); }).code().value() == EPROTOTYPE);
}

TEST_CASE("what is no socket is left alone")
{
    const TemporaryDirectory directory;
    const std::string path = directory / "x.sock";
    const Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    const auto error = error_of([&] { listen_at(path, 0600); });
    CHECK(error.code().value() == EEXIST);
    CHECK(mentions(error, path));
    CHECK(::access(path.c_str(), F_OK) == 0);
    CHECK(error_of([&] { listen_at(directory.path(), 0600); }).code().value() == EEXIST);
}

TEST_CASE("descriptors travel with packets")
{
    const Pair pair;
    Pipe pipe;
    const std::array<int, 2> sent{pipe.reading.get(), pipe.writing.get()};
    send_packet(pair.a.get(), bytes_of("two"), sent);
    pipe = Pipe();
    auto received = receive(pair.b.get());
    CHECK(received.text == "two");
    CHECK_FALSE(received.truncated);
    REQUIRE(received.descriptors.size() == 2);
    CHECK(closes_on_exec(received.descriptors[0].get()));
    CHECK(closes_on_exec(received.descriptors[1].get()));
    REQUIRE(::write(received.descriptors[1].get(), "x", 1) == 1);
    CHECK(readable(received.descriptors[0].get(), 0));
}

TEST_CASE("as many descriptors as allowed, and not one more")
{
    const Pair pair;
    const std::vector<int> sent(max_passed_descriptors, pair.a.get());
    send_packet(pair.a.get(), bytes_of("full"), sent);
    const auto received = receive(pair.b.get());
    CHECK(received.descriptors.size() == max_passed_descriptors);
    CHECK_FALSE(received.truncated);
    const std::vector<int> more(max_passed_descriptors + 1, pair.a.get());
    CHECK(error_of([&] { send_packet(pair.a.get(), bytes_of("more"), more); }).code().value() == EINVAL);
}

TEST_CASE("all descriptors from a stranger are received, and none leaks")
{
    const Pair pair;
    constexpr std::size_t count = 253; // the most that the kernel takes
    Pipe pipe;
    alignas(cmsghdr) std::byte control[CMSG_SPACE(count * sizeof(int))] = {};
    char text[] = "many";
    iovec data{text, 4};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    const std::vector<int> sent(count, pipe.writing.get());
    std::memcpy(CMSG_DATA(header), sent.data(), count * sizeof(int));
    REQUIRE(::sendmsg(pair.a.get(), &message, MSG_NOSIGNAL) == 4);
    pipe.writing.reset();
    {
        const auto received = receive(pair.b.get());
        CHECK(received.text == "many");
        CHECK_FALSE(received.truncated); // the kernel would have closed them here, and that may block
        CHECK(received.descriptors.size() == count);
        CHECK_FALSE(readable(pipe.reading.get(), 0));
    }
    CHECK(readable(pipe.reading.get(), 0)); // no writer is left
}

TEST_CASE("a packet that does not fit is truncated, the next one is whole")
{
    const Pair pair;
    send_packet(pair.a.get(), bytes_of("0123456789"));
    send_packet(pair.a.get(), bytes_of("next"));
    const auto received = receive(pair.b.get(), patience_ms, 4);
    CHECK(received.text == "0123");
    CHECK(received.truncated);
    const auto next = receive(pair.b.get(), patience_ms, 4);
    CHECK(next.text == "next");
    CHECK_FALSE(next.truncated);
}

TEST_CASE("receiving waits no longer than told")
{
    const Pair pair;
    const auto at_once = receive(pair.b.get(), 0);
    CHECK(at_once.nothing);
    const auto before = monotonic_ns();
    const auto later = receive(pair.b.get(), 5);
    CHECK(later.nothing);
    CHECK(later.bytes == 0);
    CHECK(monotonic_ns() - before >= 5'000'000);
}

TEST_CASE("receiving waits for a packet")
{
    const Pair pair;
    for (const int timeout_ms : {-1, patience_ms}) {
        std::thread sender([&] { send_packet(pair.a.get(), bytes_of("late")); });
        CHECK(receive(pair.b.get(), timeout_ms).text == "late");
        sender.join();
    }
}

TEST_CASE("the end of a connection")
{
    Pair pair;
    CHECK_FALSE(peer_closed(pair.b.get()));
    send_packet(pair.a.get(), bytes_of("last"));
    CHECK_FALSE(peer_closed(pair.b.get()));
    pair.a.reset();
    CHECK(peer_closed(pair.b.get()));
    CHECK(receive(pair.b.get()).text == "last"); // peer_closed() has taken nothing
    const auto end = receive(pair.b.get());
    CHECK(end.bytes == 0);
    CHECK_FALSE(end.nothing);
    CHECK(peer_closed(pair.b.get()));
    // No SIGPIPE, which would end this program.
    CHECK(error_of([&] { send_packet(pair.b.get(), bytes_of("x")); }).code().value() == EPIPE);
}

TEST_CASE("the last words of a peer that did not listen")
{
    Pair pair;
    send_packet(pair.b.get(), bytes_of("unread"));
    send_packet(pair.a.get(), bytes_of("refused"));
    pair.a.reset();
    CHECK(peer_closed(pair.b.get()));
    CHECK(receive(pair.b.get()).text == "refused"); // behind an ECONNRESET
    const auto end = receive(pair.b.get());
    CHECK(end.bytes == 0);
    CHECK_FALSE(end.nothing);
}

TEST_CASE("a full socket is an error for those who do not wait")
{
    const Pair pair;
    const std::vector<std::byte> packet(1024);
    std::size_t sent = 0;
    const auto error = error_of([&] {
        for (; sent < 100'000; ++sent)
            send_packet(pair.a.get(), packet, {}, false);
    });
    CHECK(error.code().value() == EAGAIN);
    CHECK(sent > 0);
    std::thread waiting([&] { send_packet(pair.a.get(), bytes_of("waited")); });
    std::string last;
    while (last != "waited")
        last = receive(pair.b.get(), patience_ms, 1024).text;
    waiting.join();
    CHECK(last == "waited");
}

TEST_CASE("an empty packet is refused")
{
    const Pair pair;
    CHECK(error_of([&] { send_packet(pair.a.get(), {}); }).code().value() == EINVAL);
}

TEST_CASE("what is no socket is an error")
{
    const Pipe pipe;
    std::byte buffer[8];
    CHECK(error_of([&] { send_packet(pipe.writing.get(), bytes_of("x")); }).code().value() == ENOTSOCK);
    CHECK(error_of([&] { receive_packet(pipe.reading.get(), buffer, 0); }).code().value() == ENOTSOCK);
    CHECK(error_of([&] { accept_from(pipe.reading.get()); }).code().value() == ENOTSOCK);
    CHECK(error_of([&] { peer_credentials(pipe.reading.get()); }).code().value() == ENOTSOCK);
    CHECK(peer_closed(-1));
}
