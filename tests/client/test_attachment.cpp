// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a program maps of a server, and what it does not take from one.

#include "client/attachment.h"
#include "fake_server.h"
#include "os/memory.h"
#include "os/timer.h"
#include "tests/core/fake_board.h"

#include <cerrno>

using namespace ringmix;
using namespace ringmix::tests;

namespace {

constexpr std::size_t arena_bytes = 1 << 20;

// What a server passes; each test changes a part of it.
struct Gifts {
    abi::Geometry geometry = test::geometry(abi::format_s16, 2, 1024, arena_bytes);
    os::Descriptor board = os::make_sealed_memory("board", core::board_bytes(geometry));
    os::Descriptor arena = os::make_sealed_memory("arena", arena_bytes);
    os::Descriptor ring = os::make_sealed_memory("ring", geometry.ring_bytes);
    os::Timer silence;
    std::uint64_t board_bytes = core::board_bytes(geometry);

    Gifts()
    {
        const test::FakeBoard image(geometry);
        const os::Mapping mapped = os::Mapping::shared(board.get(), board_bytes, 0, true, "board");
        std::memcpy(mapped.data(), image.memory(), board_bytes);
    }
};

Outcome attach(const Gifts& gifts)
{
    const RuntimeDirectory directory;
    const Address address = player(directory.file("s"));
    const FakeServer server(address.socket, [&](int socket) {
        expect<protocol::Hello>(socket);
        auto message = welcome_for(5);
        message.board_bytes = gifts.board_bytes;
        const int descriptors[] = {gifts.board.get(), gifts.arena.get(), gifts.ring.get(), gifts.silence.fd()};
        reply(socket, message, descriptors);
        wait_closed(socket);
    });
    return outcome_of([&] {
        const client::Attachment attachment(address);
        REQUIRE(attachment.slot_number() == 5);
        REQUIRE(attachment.view().geometry.ring_frames == 1024);
    });
}

// Memory that its owner could cut short under whoever has mapped it.
os::Descriptor unsealed(std::size_t bytes)
{
    os::Descriptor memory(::memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    REQUIRE(::ftruncate(memory.get(), static_cast<off_t>(bytes)) == 0);
    return memory;
}

} // namespace

TEST_CASE("attachment: a server's board, arena and ring are mapped") { CHECK(attach(Gifts{}).error == 0); }

TEST_CASE("attachment: memory that is shorter than the board says, or may become so, is refused")
{
    Gifts gifts;
    SUBCASE("a short arena") { gifts.arena = os::make_sealed_memory("arena", arena_bytes / 2); }
    SUBCASE("an arena that can shrink") { gifts.arena = unsealed(arena_bytes); }
    SUBCASE("a short ring") { gifts.ring = os::make_sealed_memory("ring", 64); }
    SUBCASE("a ring that can shrink") { gifts.ring = unsealed(gifts.geometry.ring_bytes); }
    SUBCASE("a short board") { gifts.board = os::make_sealed_memory("board", 4096); }
    SUBCASE("a board that can shrink") { gifts.board = unsealed(gifts.board_bytes); }
    SUBCASE("a board of no size") { gifts.board_bytes = 0; }
    SUBCASE("a board of any size") { gifts.board_bytes = std::uint64_t{1} << 40; }
    CHECK(attach(gifts).error != 0);
}
