// SPDX-License-Identifier: LGPL-2.1-or-later
//
// message.h: from untrusted packets to checked messages and back (ringmix/protocol.h).
// Pure, noexcept; any thread. Used by the server and by clients alike.

#pragma once

#include "ringmix/protocol.h"

#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>

namespace ringmix::core {

enum class MessageFault {
    none,
    too_short,     // not even a header, or a size other than the type's
    bad_magic,     // not our protocol
    wrong_version, // another major version
    unknown_type,
    unterminated, // a string without its final zero
};

// Checks a received packet: header, version, size against type, all strings terminated.
// `type` is set when there is no fault.
MessageFault check_message(std::span<const std::byte> packet, std::uint32_t& type) noexcept;
// What the fault means, for an Error message or a log line.
std::string_view fault_text(MessageFault fault) noexcept;

// A message of type M, zeroed, with its header filled in.
template <class M> M make_message() noexcept
{
    M message;
    std::memset(static_cast<void*>(&message), 0, sizeof message);
    message.header = {protocol::magic, protocol::major_version, protocol::minor_version, M::type, sizeof(M)};
    return message;
}

// The packet as M; only after check_message() gave M::type.
template <class M> M message_as(std::span<const std::byte> packet) noexcept
{
    M message;
    std::memcpy(static_cast<void*>(&message), packet.data(), sizeof message);
    return message;
}

template <class M> std::span<const std::byte> bytes_of(const M& message) noexcept
{
    return std::as_bytes(std::span<const M, 1>(&message, 1));
}

// Copies `text` into a fixed field, cut at a UTF-8 boundary and padded with zeros.
void put_text(std::span<char> field, std::string_view text) noexcept;
// The text of a checked field.
std::string_view text_of(std::span<const char> field) noexcept;

} // namespace ringmix::core
