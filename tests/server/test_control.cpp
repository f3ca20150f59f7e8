// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The control thread with its real sockets: nobody can lock others out.

#include "server/control.h"

#include "captured.h"
#include "core/message.h"
#include "tests/os/support.h"

#include <arpa/inet.h>
#include <ctime>
#include <doctest/doctest.h>
#include <filesystem>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <thread>

using namespace ringmix;
using namespace ringmix::server;
using ringmix::test::patience_ms;
using ringmix::test::Stderr;

namespace {

// A server on the virtual device, in a thread.
class Running {
public:
    explicit Running(double idle = -1, double end = -1, bool later = false)
    {
        options_.wishes.device = "virtual";
        options_.idle_seconds = idle;
        options_.end_seconds = end;
        control_ = std::make_unique<Control>(options_, Listener::at(path, 0600), false);
        if (!later)
            start();
    }
    void start()
    {
        thread_ = std::thread([this] {
            status = control_->run(stop_.get());
            control_.reset();
        });
    }
    ~Running()
    {
        eventfd_write(stop_.get(), 1);
        join();
    }
    void join()
    {
        if (thread_.joinable())
            thread_.join();
    }
    const test::TemporaryDirectory folder;
    const std::string path = folder / "run/s.sock";
    int status = -1;

private:
    Options options_;
    os::Descriptor stop_{eventfd(0, EFD_CLOEXEC)};
    std::unique_ptr<Control> control_;
    std::thread thread_;
};

protocol::Hello hello_of(std::uint32_t role)
{
    auto hello = core::make_message<protocol::Hello>();
    hello.role = role;
    hello.gain = abi::unity_gain;
    core::put_text(hello.name, "test");
    return hello;
}

// The type of the server's next message; 0: it has closed, or says nothing.
std::uint32_t answer(int socket, protocol::Status* status = nullptr)
{
    alignas(8) std::byte buffer[protocol::max_message_bytes];
    const os::Packet packet = os::receive_packet(socket, buffer, patience_ms);
    std::uint32_t type = 0;
    if (packet.nothing || core::check_message({buffer, packet.bytes}, type) != core::MessageFault::none)
        return 0;
    if (status != nullptr && type == protocol::type_status)
        *status = core::message_as<protocol::Status>({buffer, packet.bytes});
    return type;
}

// A connection that has said hello and was welcomed.
os::Descriptor welcomed(const std::string& path, std::uint32_t role)
{
    os::Descriptor socket = os::connect_to(path);
    os::send_packet(socket.get(), core::bytes_of(hello_of(role)));
    REQUIRE(answer(socket.get()) == protocol::type_welcome);
    return socket;
}

std::string state_of(int socket)
{
    os::send_packet(socket, core::bytes_of(core::make_message<protocol::AskStatus>()));
    protocol::Status status{};
    REQUIRE(answer(socket, &status) == protocol::type_status);
    return std::string(core::text_of(status.state));
}

template <class Condition> bool comes_true(const Condition& condition)
{
    for (int i = 0; i < patience_ms / 5; i++) {
        if (condition())
            return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
}

// A TCP connection whose close blocks for a minute: nobody takes what it has sent.
struct Lingering {
    Lingering()
    {
        listener.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        socket.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const int small = 2048;
        ::setsockopt(listener.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        REQUIRE(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
        REQUIRE(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
        REQUIRE(::listen(listener.get(), 1) == 0);
        REQUIRE(::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
        const std::vector<char> data(65536, 'x');
        while (::send(socket.get(), data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
        }
        const linger minute{1, 60};
        REQUIRE(::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &minute, sizeof minute) == 0);
    }
    os::Descriptor listener, socket;
};

// The server's is the last descriptor of it.
void send_away(int connection, std::span<const std::byte> message, Lingering& what)
{
    const int descriptor = what.socket.get();
    os::send_packet(connection, message, {&descriptor, 1});
    what.socket.reset();
}

} // namespace

TEST_CASE("control: closing what a client passes holds up nobody")
{
    const Stderr quiet;
    Lingering in_hello, behind_nonsense;
    Running server(-1, -1, true);
    const auto hello = hello_of(protocol::role_player);
    const os::Descriptor first = os::connect_to(server.path);
    send_away(first.get(), core::bytes_of(hello), in_hello);
    const os::Descriptor second = os::connect_to(server.path);
    const std::byte nonsense[3] = {};
    os::send_packet(second.get(), nonsense);
    send_away(second.get(), core::bytes_of(hello), behind_nonsense); // never read, closed with the connection
    server.start();
    CHECK(answer(first.get()) == protocol::type_error); // none belong there
    CHECK(answer(first.get()) == 0);
    CHECK(answer(second.get()) == protocol::type_error);
    welcomed(server.path, protocol::role_player);
}

TEST_CASE("control: without descriptors it rests, says so once, and goes on when there are some")
{
    const Stderr captured;
    Running server;
    const os::Descriptor before = welcomed(server.path, protocol::role_tool);
    os::Descriptor waiting(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    server.path.copy(address.sun_path, sizeof address.sun_path - 1);

    rlimit kept{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &kept) == 0);
    const int lowest = ::dup(STDIN_FILENO);
    ::close(lowest);
    const rlimit none{static_cast<rlim_t>(lowest), kept.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
    CHECK(::connect(waiting.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    const bool said = comes_true([&] { return captured.count("cannot take a connection") != 0; });
    // Nothing is to happen now: no more lines, and next to no work.
    timespec before_rest{}, after_rest{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before_rest);
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after_rest);
    const std::int64_t worked_ms =
        (after_rest.tv_sec - before_rest.tv_sec) * 1000 + (after_rest.tv_nsec - before_rest.tv_nsec) / 1'000'000;
    const std::string state = state_of(before.get());
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &kept) == 0);

    CHECK(said);
    CHECK(worked_ms < 100);
    CHECK(state == "running");
    os::send_packet(waiting.get(), core::bytes_of(hello_of(protocol::role_tool)));
    CHECK(answer(waiting.get()) == protocol::type_welcome);
    CHECK(captured.count("cannot take a connection") == 1);
}

TEST_CASE("control: a socket file that is removed is made anew")
{
    const Stderr captured;
    Running server;
    const auto reachable = [&] {
        try {
            return static_cast<bool>(os::connect_to(server.path));
        } catch (const std::system_error&) {
            return false;
        }
    };
    const os::Descriptor before = welcomed(server.path, protocol::role_tool);
    for (int i = 0; i < 3; i++) {
        CAPTURE(i);
        if (i == 1)
            std::filesystem::rename(server.folder / "run", server.folder / "elsewhere");
        else
            REQUIRE(::unlink(server.path.c_str()) == 0);
        CHECK(comes_true(reachable));
        CHECK(welcomed(server.path, protocol::role_tool));
    }
    CHECK(state_of(before.get()) == "running"); // who was connected stays
    CHECK(captured.count("made it anew") == 3);
}

TEST_CASE("control: of two servers that lost their files one has the place")
{
    const Stderr captured;
    Running server;
    std::filesystem::rename(server.path + ".lock", server.path + ".gone");
    const auto other = Listener::at(server.folder / "run/other.sock", 0600);
    std::filesystem::rename(server.folder / "run/other.sock.lock", server.path + ".lock");
    REQUIRE(::unlink(server.path.c_str()) == 0);
    CHECK(comes_true([&] { return captured.count("cannot be made anew: another ringmixd serves") == 1; }));
}

TEST_CASE("control: the device is closed when the last client has been played out, and the server ends later")
{
    const Stderr quiet;
    Running server(0, 2);
    {
        const os::Descriptor tool = welcomed(server.path, protocol::role_tool);
        CHECK(state_of(tool.get()) == "running"); // for the first client
        os::Descriptor player = welcomed(server.path, protocol::role_player);
        CHECK(state_of(tool.get()) == "running");
        player.reset();
        CHECK(comes_true([&] { return state_of(tool.get()) == "closed"; }));
        player = welcomed(server.path, protocol::role_player);
        CHECK(state_of(tool.get()) == "running");
    }
    server.join();
    CHECK(server.status == 0);
}
