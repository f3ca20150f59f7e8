// SPDX-License-Identifier: LGPL-2.1-or-later
//
// fake_server.h: servers of the tests: a thread that answers as it is told.

#pragma once

#include "client/connection.h"
#include "core/message.h"
#include "os/socket.h"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <filesystem>
#include <functional>
#include <string>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <vector>

namespace ringmix::tests {

using client::Address;
using client::ClientError;
using client::Connection;

// Where XDG_RUNTIME_DIR points while it exists; nothing of the tests touches the user's own.
class RuntimeDirectory {
public:
    RuntimeDirectory()
    {
        REQUIRE(::mkdtemp(path_) != nullptr);
        ::setenv("XDG_RUNTIME_DIR", path_, 1);
        ::unsetenv("RINGMIX_SOCKET");
        ::unsetenv("RINGMIX_SERVER");
    }
    ~RuntimeDirectory()
    {
        ::unsetenv("XDG_RUNTIME_DIR");
        ::unsetenv("RINGMIX_SERVER");
        std::error_code ignored;
        std::filesystem::permissions(path_, std::filesystem::perms::owner_all, ignored);
        std::filesystem::remove_all(path_, ignored);
    }
    std::string file(const std::string& name) const { return std::string(path_) + "/" + name; }

private:
    char path_[40] = "/tmp/ringmix-connection-XXXXXX";
};

// This process is nobody for as long as it lives, if it was root.
class AsNobody {
public:
    AsNobody() : before_(::geteuid())
    {
        if (before_ == 0)
            REQUIRE(::seteuid(65534) == 0);
    }
    AsNobody(const AsNobody&) = delete;
    ~AsNobody() { ::seteuid(before_) == 0 ? void() : std::abort(); }

private:
    uid_t before_;
};

// A server in a thread of the test: `serve` gets each connection in turn.
class FakeServer {
public:
    using Serve = std::function<void(int socket)>;

    FakeServer(const std::string& path, Serve serve) : listener_(os::listen_at(path, 0600)), serve_(std::move(serve))
    {
        thread_ = std::thread([this] { run(); });
    }
    ~FakeServer()
    {
        ending_ = true;
        thread_.join();
    }

private:
    void run()
    {
        while (!ending_) {
            if (const os::Descriptor socket = os::accept_from(listener_.get()); socket)
                serve_(socket.get());
            else
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }

    os::Descriptor listener_;
    Serve serve_;
    std::atomic<bool> ending_{false};
    std::thread thread_;
};

// The next packet, as M if it is one.
template <class M> M expect(int socket)
{
    std::byte buffer[protocol::max_message_bytes];
    const os::Packet packet = os::receive_packet(socket, buffer, 5000);
    std::uint32_t type = 0;
    const std::span<const std::byte> bytes(buffer, packet.bytes);
    if (core::check_message(bytes, type) != core::MessageFault::none || type != M::type)
        return {};
    return core::message_as<M>(bytes);
}

inline void wait_closed(int socket)
{
    std::byte buffer[protocol::max_message_bytes];
    while (os::receive_packet(socket, buffer, 5000).bytes != 0)
        continue;
}

template <class M> void reply(int socket, const M& message, std::span<const int> descriptors = {})
{
    os::send_packet(socket, core::bytes_of(message), descriptors);
}

inline void reply_error(int socket, int error, std::string_view text)
{
    auto message = core::make_message<protocol::Error>();
    message.error = error;
    core::put_text(message.text, text);
    reply(socket, message);
}

inline protocol::Welcome welcome_for(std::uint32_t slot)
{
    auto welcome = core::make_message<protocol::Welcome>();
    welcome.slot = slot;
    welcome.abi_major = abi::major_version;
    welcome.server_pid = 4711;
    return welcome;
}

// Welcomes with `count` descriptors.
inline void welcome(int socket, const protocol::Welcome& message, std::size_t count = protocol::welcome_descriptors)
{
    const os::Descriptor null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    const std::vector<int> descriptors(count, null.get());
    reply(socket, message, descriptors);
}

inline Address player(const std::string& socket)
{
    Address address;
    address.socket = socket;
    address.name = "test";
    address.answer_ms = 2000;
    return address;
}

inline Address tool(const std::string& socket)
{
    Address address = player(socket);
    address.role = protocol::role_tool;
    return address;
}

struct Outcome {
    int error = 0;
    std::string text;
    bool says(const std::string& part) const { return text.find(part) != std::string::npos; }
};

inline Outcome outcome_of(const std::function<void()>& action)
{
    try {
        action();
        return {};
    } catch (const ClientError& error) {
        return {error.error, error.what()};
    }
}

inline Outcome connect(const Address& address)
{
    return outcome_of([&] { const Connection connection(address); });
}

} // namespace ringmix::tests
