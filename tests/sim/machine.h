// SPDX-License-Identifier: LGPL-2.1-or-later
//
// machine.h: what the simulated kernel has: memory files, sockets, timers, processes. The product reaches it
// through its own headers (os/*.h), whose implementations are replaced when the simulator is linked.

#pragma once

#include "tests/sim/world.h"

#include <cstddef>
#include <cstdlib>
#include <deque>
#include <map>
#include <string>
#include <vector>

namespace ringmix::sim {

class Score;

struct Block final : Object {
    static constexpr Kind its_kind = Kind::block;
    Block(std::string block_name, std::size_t size)
        : Object(its_kind), name(std::move(block_name)), bytes(size),
          data(static_cast<std::byte*>(std::calloc((size + 4095) / 4096, 4096)))
    {
    }
    ~Block() override { std::free(data); }
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;
    std::string name;
    std::size_t bytes;
    std::byte* data;
};

struct TimerObject final : Object {
    static constexpr Kind its_kind = Kind::timer;
    TimerObject() : Object(its_kind) {}
    std::int64_t expires = never;
    bool readable() const override { return world->now() >= expires; }
    std::int64_t readable_at() const override { return expires; }
};

struct Mail {
    std::vector<std::byte> bytes;
    std::vector<std::shared_ptr<Object>> objects;
};

struct Socket final : Object {
    static constexpr Kind its_kind = Kind::socket;
    Socket() : Object(its_kind) {}
    std::uint32_t process = 0;
    std::weak_ptr<Socket> peer;
    std::uint32_t peer_process = 0;
    std::deque<Mail> mail;
    bool ended = false; // the other side has closed
    bool readable() const override { return ended || !mail.empty(); }
    void closed() override
    {
        if (const auto other = peer.lock()) {
            other->ended = true;
            world->changed(*other);
        }
    }
};

struct Listener final : Object {
    static constexpr Kind its_kind = Kind::listener;
    Listener() : Object(its_kind) {}
    std::deque<std::shared_ptr<Socket>> waiting;
    bool readable() const override { return !waiting.empty(); }
};

struct Death final : Object { // of a process
    static constexpr Kind its_kind = Kind::death;
    Death() : Object(its_kind) {}
    std::uint32_t process = 0;
    bool readable() const override { return world->dead(process); }
};

struct Counter final : Object { // an event descriptor, a semaphore
    static constexpr Kind its_kind = Kind::counter;
    Counter() : Object(its_kind) {}
    std::uint64_t count = 0;
    bool readable() const override { return count != 0; }
};

struct Program {
    std::string name;
    Score* score = nullptr; // of its PCM
};

struct Machine {
    std::map<std::string, std::shared_ptr<Block>> blocks; // the newest of each name
    const Block* board = nullptr;                         // of them
    std::shared_ptr<Listener> listener;
    std::map<std::uint32_t, Program> programs; // by process
    std::vector<std::shared_ptr<Death>> deaths;
    bool realtime = true;
    std::uint64_t log_lines = 0;
    std::map<std::uint32_t, std::uint32_t> slots; // that programs were welcomed to
    bool device_gone = false;
    std::uint32_t server = 0; // its process
    bool server_gone() const { return world->dead(server); }
    Temper engine_temper;
};
Machine& machine();

} // namespace ringmix::sim
