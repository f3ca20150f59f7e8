// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fake_server.h"

#include "os/timer.h"

#include <cerrno>
#include <cstring>
#include <sys/stat.h>
#include <unistd.h>

using namespace ringmix;
using namespace ringmix::tests;

TEST_CASE("connection: a player is welcomed with four descriptors")
{
    const RuntimeDirectory directory;
    protocol::Hello hello{};
    Address address = player(directory.file("s"));
    address.gain = 12345;
    {
        const FakeServer server(address.socket, [&](int socket) {
            hello = expect<protocol::Hello>(socket);
            welcome(socket, welcome_for(5));
            wait_closed(socket);
        });
        Connection connection(address);
        CHECK(connection.welcome().slot == 5);
        CHECK(connection.welcome().server_pid == 4711);
        CHECK(connection.descriptors().size() == 4);
        CHECK(connection.path() == address.socket);
        CHECK(connection.socket() >= 0);
        CHECK_FALSE(connection.server_gone());
        os::hang_up(connection.socket());
        CHECK(connection.server_gone());
        CHECK(outcome_of([&] { connection.receive(); }).error == ENODEV);
    }
    CHECK(hello.role == protocol::role_player);
    CHECK(hello.pid == static_cast<std::uint32_t>(::getpid()));
    CHECK(hello.gain == 12345);
    CHECK(core::text_of(hello.name) == "test");
}

TEST_CASE("connection: nobody there")
{
    const RuntimeDirectory directory;
    const std::string path = directory.file("s");
    SUBCASE("no file")
    {
        const Outcome outcome = connect(player(path));
        CAPTURE(outcome.text);
        CHECK(outcome.error == ENOENT);
        CHECK(outcome.says(path));
        CHECK(outcome.says("ringmixd --socket " + path));
        CHECK(outcome.says("autostart yes"));
        CHECK_FALSE(connect(tool(path)).says("autostart"));
    }
    SUBCASE("a file that nobody listens on")
    {
        os::listen_at(path, 0600).reset();
        CHECK(connect(player(path)).error == ECONNREFUSED);
    }
    SUBCASE("all paths of an instance are named")
    {
        Address address = player("");
        address.instance = "no-such-instance";
        const Outcome outcome = connect(address);
        CAPTURE(outcome.text);
        CHECK(outcome.error == ENOENT);
        CHECK(outcome.says(directory.file("ringmix/no-such-instance.sock")));
        CHECK(outcome.says("/run/ringmix/no-such-instance.sock"));
        CHECK(outcome.says("ringmixd --name no-such-instance"));
    }
    SUBCASE("a name that is none")
    {
        Address address = player("");
        address.instance = "../x";
        CHECK(connect(address).error == EINVAL);
    }
    SUBCASE("a path that is too long")
    {
        const std::string name = "/tmp/" + std::string(200, 'x');
        const Outcome outcome = connect(player(name));
        CAPTURE(outcome.text);
        CHECK(outcome.error == ENAMETOOLONG);
        CHECK(
            (outcome.says(name + " has 205 bytes") && outcome.says("at most 107") && outcome.says("choose a shorter")));
    }
    SUBCASE("no permission")
    {
        ::chmod(directory.file(".").c_str(), 0711);
        const os::Descriptor listener = os::listen_at(path, 0);
        const AsNobody user;
        const Outcome outcome = connect(player(path));
        CHECK(outcome.error == EACCES);
        CHECK(outcome.says("permission denied on " + path));
    }
}

TEST_CASE("connection: a directory that cannot be entered")
{
    const RuntimeDirectory directory;
    std::filesystem::create_directory(directory.file("closed"));
    ::chmod(directory.file("closed").c_str(), 0);
    ::chmod(directory.file(".").c_str(), 0711);
    ::setenv("XDG_RUNTIME_DIR", directory.file("closed").c_str(), 1);
    Address address = player("");
    address.instance = "no-such-instance";
    const AsNobody user;
    const Outcome outcome = connect(address);
    CAPTURE(outcome.text);
    CHECK(outcome.error == ENOENT);
    CHECK(outcome.says("no ringmix server answers"));
    CHECK(outcome.says("directory " + directory.file("closed/ringmix") + " cannot be entered"));
    CHECK(outcome.says("ringmixd --name no-such-instance"));
    address.autostart = true; // a new server could not listen there
    CHECK(connect(address).says("cannot be entered"));
    address.autostart = false;
    address.socket = directory.file("closed/s");
    CHECK(connect(address).error == EACCES);
    CHECK(connect(address).says("no ringmix server answers"));
}

TEST_CASE("connection: silent and garbled servers")
{
    const RuntimeDirectory directory;
    Address address = player(directory.file("s"));
    const auto with = [&](const FakeServer::Serve& serve) {
        const FakeServer server(address.socket, serve);
        return connect(address);
    };
    SUBCASE("silence")
    {
        address.answer_ms = 50;
        const Outcome outcome = with(wait_closed);
        CHECK((outcome.error == ETIMEDOUT && outcome.says(address.socket)));
    }
    SUBCASE("garbage")
    {
        const std::byte garbage[33] = {std::byte{1}};
        CHECK(with([&](int socket) { os::send_packet(socket, garbage); }).error == EPROTO);
    }
    SUBCASE("too long")
    {
        std::vector<std::byte> packet(protocol::max_message_bytes + 100);
        const auto message = welcome_for(0);
        std::memcpy(packet.data(), &message, sizeof message);
        CHECK(with([&](int socket) { os::send_packet(socket, packet); }).error == EPROTO);
    }
    SUBCASE("another protocol")
    {
        auto message = welcome_for(0);
        message.header.major = 7;
        const Outcome outcome = with([&](int socket) { reply(socket, message); });
        CHECK(outcome.error == EPROTO);
        CHECK(outcome.says("version 7 of the protocol"));
        CHECK(outcome.says("this program version 1"));
    }
    SUBCASE("another layout of the shared memory")
    {
        auto message = welcome_for(0);
        message.abi_major = 8;
        const Outcome outcome = with([&](int socket) { welcome(socket, message); });
        CHECK(outcome.error == EPROTO);
        CHECK(outcome.says("version 8 of the shared memory"));
        CHECK(outcome.says("this program version 1"));
    }
    SUBCASE("another message")
    {
        CHECK(with([](int socket) { reply(socket, core::make_message<protocol::Done>()); }).error == EPROTO);
    }
    SUBCASE("descriptors missing")
    {
        for (const std::size_t count : {std::size_t{0}, std::size_t{3}, std::size_t{5}})
            CHECK(with([&](int socket) { welcome(socket, welcome_for(0), count); }).error == EPROTO);
    }
    SUBCASE("a slot that does not exist")
    {
        CHECK(with([&](int socket) { welcome(socket, welcome_for(abi::max_slots)); }).error == EPROTO);
    }
    SUBCASE("closed without an answer")
    {
        CHECK(with([](int) {}).error == ENODEV);
        CHECK(with([](int socket) { expect<protocol::Hello>(socket); }).error == ENODEV);
    }
}

TEST_CASE("connection: an Error's number and text are passed on")
{
    const RuntimeDirectory directory;
    const std::string path = directory.file("s");
    const auto with = [&](int error, const char* text) {
        // Closes at once, with the Hello unread: the Error must arrive all the same.
        const FakeServer server(path, [&](int socket) { reply_error(socket, error, text); });
        return connect(player(path));
    };
    const Outcome outcome = with(EUSERS, "all 64 slots are taken");
    CHECK(outcome.error == EUSERS);
    CHECK(outcome.text == path + ": all 64 slots are taken");
    CHECK(with(EBUSY, "").says("busy"));
    CHECK(with(0, "nothing").error == EIO);
    CHECK(with(-5, "less").error == EIO);
}

TEST_CASE("connection: requests and answers")
{
    const RuntimeDirectory directory;
    Address address = tool(directory.file("s"));
    address.answer_ms = 200;
    const FakeServer server(address.socket, [&](int socket) {
        expect<protocol::Hello>(socket);
        welcome(socket, welcome_for(protocol::no_slot), 0);
        expect<protocol::AskStatus>(socket);
        auto status = core::make_message<protocol::Status>();
        status.rate = 48000;
        core::put_text(status.device, "virtual");
        reply(socket, status);
        expect<protocol::AskClients>(socket);
        for (std::uint32_t id = 0; id < 3; ++id) {
            auto info = core::make_message<protocol::ClientInfo>();
            info.id = id;
            reply(socket, info);
        }
        auto done = core::make_message<protocol::Done>();
        done.count = 3;
        reply(socket, done);
        expect<protocol::Configure>(socket);
        reply_error(socket, EINVAL, "tools have no lane");
        expect<protocol::Release>(socket);
        reply(socket, core::make_message<protocol::Done>());
        wait_closed(socket);
    });
    Connection connection(address);
    CHECK(connection.descriptors().empty());
    const auto status = connection.ask<protocol::Status>(core::make_message<protocol::AskStatus>());
    CHECK(status.rate == 48000);
    CHECK(core::text_of(status.device) == "virtual");

    connection.send(core::make_message<protocol::AskClients>());
    std::uint32_t count = 0;
    while (connection.receive() == protocol::type_client_info)
        CHECK(connection.received<protocol::ClientInfo>().id == count++);
    CHECK(connection.received<protocol::Done>().count == count);
    CHECK(count == 3);

    // A refusal leaves the connection as it was.
    const auto configure = core::make_message<protocol::Configure>();
    const Outcome refused = outcome_of([&] { connection.ask<protocol::Configured>(configure); });
    CHECK(refused.error == EINVAL);
    CHECK(refused.says("tools have no lane"));
    CHECK_FALSE(connection.server_gone());
    const auto give_back = core::make_message<protocol::Release>();
    CHECK(outcome_of([&] { connection.ask<protocol::Done>(give_back); }).error == 0);

    // After a time-out it takes no more requests, lest a late answer be taken for another's. But it stays open:
    // the server would give the slot to another client, and this one may still play in it.
    CHECK_FALSE(connection.failed());
    CHECK(outcome_of([&] { connection.ask<protocol::Done>(give_back); }).error == ETIMEDOUT);
    CHECK(connection.failed());
    CHECK_FALSE(connection.server_gone());
    const Outcome after = outcome_of([&] { connection.ask<protocol::Done>(give_back); });
    CHECK(after.error == ENODEV);
    CHECK(after.says("open it anew"));
}

TEST_CASE("connection: a server that dies is noticed")
{
    const RuntimeDirectory directory;
    const Address address = player(directory.file("s"));
    std::atomic<bool> die{false};
    const FakeServer server(address.socket, [&](int socket) {
        expect<protocol::Hello>(socket);
        welcome(socket, welcome_for(0));
        while (!die)
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
    Connection connection(address);
    CHECK_FALSE(connection.server_gone());
    die = true;
    const std::int64_t deadline = os::monotonic_ns() + 5'000'000'000;
    while (!connection.server_gone() && os::monotonic_ns() < deadline)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    CHECK(connection.server_gone());
    const auto give_back = core::make_message<protocol::Release>();
    CHECK(outcome_of([&] { connection.ask<protocol::Done>(give_back); }).error == ENODEV);
}

TEST_CASE("connection: the user's server comes first, a path without one is skipped")
{
    const RuntimeDirectory directory;
    Address address = tool("");
    address.instance = "mine";
    const FakeServer server(directory.file("ringmix/mine.sock"), [&](int socket) {
        expect<protocol::Hello>(socket);
        welcome(socket, welcome_for(protocol::no_slot), 0);
    });
    CHECK(connect(address).text == "");
}
