// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/message.h"

#include <doctest/doctest.h>
#include <limits>
#include <random>
#include <string>
#include <vector>

using namespace ringmix;
using core::check_message;
using core::MessageFault;

namespace {

using Bytes = std::vector<std::byte>;

template <class M> Bytes packet_of(const M& message)
{
    const auto bytes = core::bytes_of(message);
    return {bytes.begin(), bytes.end()};
}

MessageFault fault_of(const Bytes& packet)
{
    std::uint32_t type = 0;
    return check_message(packet, type);
}

template <class M> void check_type()
{
    CAPTURE(M::type);
    Bytes packet = packet_of(core::make_message<M>());
    std::uint32_t type = 0;
    CHECK(check_message(packet, type) == MessageFault::none);
    CHECK(type == M::type);

    for (std::size_t size = 0; size < packet.size(); ++size)
        CHECK(fault_of(Bytes(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(size))) ==
              MessageFault::too_short);
    Bytes longer = packet;
    longer.push_back(std::byte{0});
    CHECK(fault_of(longer) == MessageFault::too_short);

    // The header's own idea of the size must agree as well.
    for (const std::uint32_t bytes : {0u, std::uint32_t{sizeof(M)} - 1, std::uint32_t{sizeof(M)} + 1, 0xffffffffu}) {
        M lying = core::make_message<M>();
        lying.header.bytes = bytes;
        CHECK(fault_of(packet_of(lying)) == MessageFault::too_short);
    }
}

template <std::size_t size> void fill(char (&field)[size]) { std::memset(field, 'x', size); }

} // namespace

TEST_CASE("each type is accepted in its own size only")
{
    using namespace protocol;
    check_type<Hello>();
    check_type<Welcome>();
    check_type<Configure>();
    check_type<Configured>();
    check_type<Release>();
    check_type<Done>();
    check_type<Error>();
    check_type<AskStatus>();
    check_type<Status>();
    check_type<AskClients>();
    check_type<ClientInfo>();
}

TEST_CASE("headers of others are refused")
{
    auto message = core::make_message<protocol::Release>();
    SUBCASE("magic")
    {
        message.header.magic ^= 1;
        CHECK(fault_of(packet_of(message)) == MessageFault::bad_magic);
    }
    SUBCASE("major version, whatever the type and size are there")
    {
        message.header.major = protocol::major_version + 1;
        message.header.type = 77;
        message.header.bytes = 5;
        CHECK(fault_of(packet_of(message)) == MessageFault::wrong_version);
    }
    SUBCASE("minor version is no reason")
    {
        message.header.minor = 99;
        CHECK(fault_of(packet_of(message)) == MessageFault::none);
    }
    SUBCASE("type")
    {
        for (const std::uint32_t type : {0u, protocol::type_adopt, 18u, std::numeric_limits<std::uint32_t>::max()}) {
            message.header.type = type;
            CHECK(fault_of(packet_of(message)) == MessageFault::unknown_type);
        }
    }
    SUBCASE("a type of another size")
    {
        message.header.type = protocol::type_hello;
        CHECK(fault_of(packet_of(message)) == MessageFault::too_short);
    }
}

TEST_CASE("type is left alone when there is a fault")
{
    std::uint32_t type = 4711;
    CHECK(check_message({}, type) == MessageFault::too_short);
    CHECK(type == 4711);
}

TEST_CASE("each string must end")
{
    auto hello = core::make_message<protocol::Hello>();
    fill(hello.name);
    CHECK(fault_of(packet_of(hello)) == MessageFault::unterminated);
    hello.name[sizeof hello.name - 1] = '\0';
    CHECK(fault_of(packet_of(hello)) == MessageFault::none);

    auto error = core::make_message<protocol::Error>();
    fill(error.text);
    CHECK(fault_of(packet_of(error)) == MessageFault::unterminated);

    auto info = core::make_message<protocol::ClientInfo>();
    fill(info.name);
    CHECK(fault_of(packet_of(info)) == MessageFault::unterminated);

    for (int field = 0; field < 3; ++field) {
        auto status = core::make_message<protocol::Status>();
        if (field == 0)
            fill(status.device);
        else if (field == 1)
            fill(status.state);
        else
            fill(status.output);
        CHECK(fault_of(packet_of(status)) == MessageFault::unterminated);
    }
}

TEST_CASE("random bytes and damaged messages do no harm")
{
    std::mt19937 random(1);
    std::uniform_int_distribution<int> byte(0, 255);
    for (int round = 0; round < 20000; ++round) {
        Bytes packet(random() % (protocol::max_message_bytes + 1));
        for (std::byte& b : packet)
            b = static_cast<std::byte>(byte(random));
        CHECK(fault_of(packet) != MessageFault::none); // the magic alone is 1 in 2^32
    }
    for (int round = 0; round < 20000; ++round) {
        auto status = core::make_message<protocol::Status>();
        core::put_text(status.device, "hw:0");
        Bytes packet = packet_of(status);
        for (int change = 0; change < 4; ++change)
            packet[random() % packet.size()] = static_cast<std::byte>(byte(random));
        if (fault_of(packet) == MessageFault::none) {
            const auto read = core::message_as<protocol::Status>(packet);
            CHECK(core::text_of(read.device).size() < protocol::text_bytes);
            CHECK(core::text_of(read.output).size() < protocol::text_bytes);
        }
    }
}

TEST_CASE("every fault has a text")
{
    for (const auto fault : {MessageFault::none, MessageFault::too_short, MessageFault::bad_magic,
                             MessageFault::wrong_version, MessageFault::unknown_type, MessageFault::unterminated})
        CHECK_FALSE(core::fault_text(fault).empty());
    CHECK_FALSE(core::fault_text(static_cast<MessageFault>(99)).empty());
}

TEST_CASE("put_text cuts at characters and pads with zeros")
{
    char field[8];
    const auto put = [&](std::string_view text) {
        fill(field);
        core::put_text(field, text);
        CHECK(field[7] == '\0');
        const std::string_view stored = core::text_of(field);
        for (std::size_t i = stored.size(); i < sizeof field; ++i)
            CHECK(field[i] == '\0');
        return std::string(stored);
    };
    CHECK(put("") == "");
    CHECK(put("short") == "short");
    CHECK(put("seven77") == "seven77");
    CHECK(put("eight888") == "eight88");
    CHECK(put("abcdef\u00e4") == "abcdef");     // the 2 bytes would end at 8
    CHECK(put("abcde\u00e4") == "abcde\u00e4"); // exactly 7
    CHECK(put("abcd\U0001f3b5") == "abcd");     // 4 bytes
    CHECK(put("abc\U0001f3b5x") == "abc\U0001f3b5");
    CHECK(put(std::string_view("a\0b", 3)) == "a");
    // No UTF-8 at all: still cut, and no more than 3 bytes given up.
    CHECK(put("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80").size() == 4);

    char one[1] = {'x'};
    core::put_text(one, "text");
    CHECK(one[0] == '\0');
    core::put_text({}, "text");
}

TEST_CASE("text_of takes the whole field when nothing ends it")
{
    char field[4];
    fill(field);
    CHECK(core::text_of(field) == "xxxx");
    CHECK(core::text_of({}).empty());
}
