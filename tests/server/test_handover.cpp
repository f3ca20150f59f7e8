// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Messages with which one server takes another one's place, with others at the other end; and what the registry makes
// of them. The whole of it: e2e "replaced".

#include "server/handover.h"

#include "house.h"
#include "os/socket.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <functional>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

using namespace ringmix;
using namespace ringmix::test;

namespace {

struct Pair {
    os::Descriptor mine, theirs;
    Pair()
    {
        int fds[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
        mine.reset(fds[0]);
        theirs.reset(fds[1]);
    }
};

// A server of the old kind at a path, which says what `answers` says.
struct Predecessor {
    explicit Predecessor(std::function<void(int)> answers)
        : path("/tmp/ringmix-handover-" + std::to_string(::getpid())), listener(os::listen_at(path, 0600)),
          thread([this, answers = std::move(answers)] {
              os::Descriptor socket;
              while (!socket)
                  socket = os::accept_from(listener.get());
              std::byte hello[protocol::max_message_bytes];
              os::receive_packet(socket.get(), hello, 5000);
              answers(socket.get());
          })
    {
    }
    ~Predecessor()
    {
        thread.join();
        ::unlink(path.c_str());
    }
    std::string path;
    os::Descriptor listener;
    std::thread thread;
};

std::string fault_of(std::function<void(int)> answers)
{
    const Predecessor old(std::move(answers));
    try {
        ask_for_inheritance(old.path);
    } catch (const std::exception& error) {
        return error.what();
    }
    return "";
}

protocol::Handover closed(std::uint32_t slots)
{
    auto head = core::make_message<protocol::Handover>();
    head.slots = slots;
    return head;
}

} // namespace

TEST_CASE("handover: nobody there is no error") { CHECK_FALSE(ask_for_inheritance("/tmp/ringmix-no-such-socket")); }

TEST_CASE("handover: all that is given arrives, sockets too")
{
    const os::Descriptor null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    const Predecessor old([&](int socket) {
        auto head = closed(2);
        head.geometry.rate = 48000;
        core::put_text(head.output, "out.wav");
        const int five[] = {null.get(), null.get(), null.get(), null.get(), null.get()};
        give(socket, head, five);
        auto record = core::make_message<protocol::HandoverSlot>();
        record.slot = 5;
        record.connected = 1;
        core::put_text(record.name, "player");
        give(socket, record, null.get());
        record.slot = 63;
        record.connected = 0;
        give(socket, record, -1);
        await_ready(socket);
        auto commit = core::make_message<protocol::Commit>();
        commit.frame = 4711;
        os::send_packet(socket, core::bytes_of(commit));
    });
    const auto all = ask_for_inheritance(old.path);
    REQUIRE(all);
    CHECK(all->device_open());
    CHECK((all->board && all->arena && all->device && all->silence && all->listener));
    CHECK(core::text_of(all->head.output) == "out.wav");
    REQUIRE(all->places.size() == 2);
    CHECK(all->places[0].record.slot == 5);
    CHECK(all->places[0].socket);
    CHECK_FALSE(all->places[1].socket);
    CHECK(await_commit(all->predecessor.get()).frame == 4711);
}

TEST_CASE("handover: what cannot be is refused, with a reason")
{
    const os::Descriptor null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    const int one[] = {null.get()};
    const auto slot = [&](std::uint32_t number, bool connected, int socket) {
        return fault_of([&](int old) {
            give(old, closed(1), one);
            auto record = core::make_message<protocol::HandoverSlot>();
            record.slot = number;
            record.connected = connected ? 1 : 0;
            give(old, record, socket);
        });
    };
    CHECK(fault_of([](int) {}) == "the other server has closed the connection");
    CHECK(fault_of([](int old) {
              auto error = core::make_message<protocol::Error>();
              error.error = EPERM;
              core::put_text(error.text, "only root may");
              os::send_packet(old, core::bytes_of(error));
          }) == "only root may");
    CHECK(fault_of([](int old) { os::send_packet(old, core::bytes_of(core::make_message<protocol::Done>())); }) != "");
    CHECK(fault_of([](int old) { give(old, closed(0), {}); }) != "");    // no listener
    CHECK(fault_of([&](int old) { give(old, closed(65), one); }) != ""); // more slots than there are
    CHECK(slot(64, false, -1) != "");
    CHECK(slot(1, true, -1) != "");
    CHECK(slot(1, false, null.get()) != "");
    CHECK(fault_of([&](int old) { give(old, closed(1), one); }) == "the other server has closed the connection");
}

TEST_CASE("handover: a successor that leaves before it is ready")
{
    Pair pair;
    pair.theirs.reset();
    CHECK_THROWS_AS(await_ready(pair.mine.get()), std::exception);
    Pair other;
    os::send_packet(other.theirs.get(), core::bytes_of(core::make_message<protocol::AskStatus>()));
    CHECK_THROWS_AS(await_ready(other.mine.get()), std::runtime_error);
}

TEST_CASE("handover: a registry is the same on the other side")
{
    House old;
    FakeSession player, idle;
    old.greet(player, "player");
    old.greet(idle, "idle");
    old.configure(player);
    House young;
    for (protocol::HandoverSlot record : old.requests.records()) {
        record.connected = record.slot == player.slot ? 1 : 0;
        REQUIRE(young.requests.take_place(record));
        CHECK_FALSE(young.requests.take_place(record)); // not twice
    }
    CHECK(young.requests.players() == 2);
    CHECK(young.requests.instance()->arena().used() == old.requests.instance()->arena().used());
    young.requests.resume(); // the one that has gone leaves its slot
    CHECK(young.requests.players() == 1);
    auto impossible = old.requests.records()[0];
    impossible.slot = 9;
    impossible.lane_offset = 1;
    CHECK_FALSE(young.requests.take_place(impossible));
}

TEST_CASE("handover: an engine goes on with what the one before it knew")
{
    House old;
    FakeSession player;
    old.greet(player);
    old.configure(player);
    old.play(player, {0, 1000000});
    old.device->frame = 3000;
    old.step();
    const Engine::Knowledge all = old.requests.instance()->engine().knowledge();
    CHECK(all.snapshot.frame == 3000);
    CHECK(all.mixed_to == 3000 + old.requests.instance()->view().geometry.reach_frames);
    CHECK(all.open == 1);
    House young;
    young.requests.instance()->engine().learn(all);
    const Engine::Knowledge again = young.requests.instance()->engine().knowledge();
    CHECK(again.snapshot.frame == 3000);
    CHECK(again.mixed_to == all.mixed_to);
    CHECK(again.open == 1);
    CHECK(again.serials == all.serials);
}
