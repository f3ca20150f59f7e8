// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Fuzzes check_message(). With clang: -fsanitize=fuzzer,address,undefined -DRINGMIX_LIBFUZZER.
// Any other build runs the given files, or without any a fixed number of damaged messages.
#include "core/message.h"

#include <cstdint>
#include <cstdlib>
#include <span>

namespace {

using namespace ringmix;

void require(bool condition)
{
    if (!condition)
        std::abort();
}

template <std::size_t size> void use_text(const char (&field)[size])
{
    const std::string_view text = core::text_of(field);
    require(text.size() < size);
    char copy[size];
    core::put_text(copy, text);
    require(core::text_of(copy) == text);
    char small[9];
    core::put_text(small, text);
    require(core::text_of(small).size() < sizeof small);
}

void use(std::uint32_t type, std::span<const std::byte> packet)
{
    switch (type) {
    case protocol::type_hello:
        return use_text(core::message_as<protocol::Hello>(packet).name);
    case protocol::type_error:
        return use_text(core::message_as<protocol::Error>(packet).text);
    case protocol::type_client_info:
        return use_text(core::message_as<protocol::ClientInfo>(packet).name);
    case protocol::type_status: {
        const auto status = core::message_as<protocol::Status>(packet);
        use_text(status.device);
        use_text(status.state);
        return use_text(status.output);
    }
    default:
        return;
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::span<const std::byte> packet(reinterpret_cast<const std::byte*>(data), size);
    std::uint32_t type = 0;
    const core::MessageFault fault = core::check_message(packet, type);
    require(!core::fault_text(fault).empty());
    require((fault == core::MessageFault::none) == (type != 0));
    if (fault == core::MessageFault::none)
        use(type, packet);
    return 0;
}

#ifndef RINGMIX_LIBFUZZER

#include "run_target.h"

#include <algorithm>
#include <random>

namespace {

template <class M> void damage(std::mt19937& random)
{
    const M message = core::make_message<M>();
    const auto bytes = core::bytes_of(message);
    std::vector<std::byte> packet(bytes.begin(), bytes.end());
    for (auto changes = random() % 6; changes > 0; --changes)
        packet[random() % packet.size()] = static_cast<std::byte>(random());
    // A run of one letter: now and then a string without an end.
    const std::size_t start = random() % packet.size();
    const std::size_t length = random() % (packet.size() - start + 1);
    if (start >= sizeof(protocol::MessageHeader))
        std::fill_n(packet.begin() + static_cast<std::ptrdiff_t>(start), length, std::byte{0xc3});
    if (random() % 8 == 0)
        packet.resize(random() % protocol::max_message_bytes);
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(packet.data()), packet.size());
}

} // namespace

int main(int argc, char** argv)
{
    std::mt19937 random(1);
    return run_target(argc, argv, [&] {
        damage<protocol::Hello>(random);
        damage<protocol::Welcome>(random);
        damage<protocol::Configure>(random);
        damage<protocol::Error>(random);
        damage<protocol::Status>(random);
        damage<protocol::ClientInfo>(random);
    });
}

#endif
