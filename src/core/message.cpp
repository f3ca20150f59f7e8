// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/message.h"

#include <algorithm>

namespace ringmix::core {
namespace {

// Where the strings of a message lie.
struct TextField {
    std::size_t offset = 0;
    std::size_t bytes = 0;
};

struct Layout {
    std::size_t bytes = 0; // 0: unknown type
    TextField texts[3] = {};
};

Layout layout_of(std::uint32_t type) noexcept
{
    using namespace protocol;
    switch (type) {
    case type_hello:
        return {sizeof(Hello), {{offsetof(Hello, name), name_bytes}}};
    case type_welcome:
        return {sizeof(Welcome), {{offsetof(Welcome, device), name_bytes}}};
    case type_configure:
        return {sizeof(Configure)};
    case type_configured:
        return {sizeof(Configured)};
    case type_release:
        return {sizeof(Release)};
    case type_done:
        return {sizeof(Done)};
    case type_error:
        return {sizeof(Error), {{offsetof(Error, text), text_bytes}}};
    case type_ask_status:
        return {sizeof(AskStatus)};
    case type_status:
        return {sizeof(Status),
                {{offsetof(Status, device), text_bytes},
                 {offsetof(Status, state), name_bytes},
                 {offsetof(Status, output), text_bytes}}};
    case type_ask_clients:
        return {sizeof(AskClients)};
    case type_client_info:
        return {sizeof(ClientInfo), {{offsetof(ClientInfo, name), name_bytes}}};
    case type_set_gain:
        return {sizeof(SetGain), {{offsetof(SetGain, name), name_bytes}}};
    case type_handover:
        return {sizeof(Handover),
                {{offsetof(Handover, device), text_bytes},
                 {offsetof(Handover, identity), name_bytes},
                 {offsetof(Handover, output), text_bytes}}};
    case type_handover_slot:
        return {sizeof(HandoverSlot), {{offsetof(HandoverSlot, name), name_bytes}}};
    case type_ready:
        return {sizeof(Ready)};
    case type_commit:
        return {sizeof(Commit)};
    default:
        return {};
    }
}

bool terminated(std::span<const std::byte> packet, const TextField& field) noexcept
{
    const auto text = packet.subspan(field.offset, field.bytes);
    return std::find(text.begin(), text.end(), std::byte{0}) != text.end();
}

} // namespace

MessageFault check_message(std::span<const std::byte> packet, std::uint32_t& type) noexcept
{
    protocol::MessageHeader header;
    if (packet.size() < sizeof header)
        return MessageFault::too_short;
    std::memcpy(&header, packet.data(), sizeof header);
    if (header.magic != protocol::magic)
        return MessageFault::bad_magic;
    // Before type and size: both may be new in another version.
    if (header.major != protocol::major_version)
        return MessageFault::wrong_version;
    const Layout layout = layout_of(header.type);
    if (layout.bytes == 0)
        return MessageFault::unknown_type;
    if (packet.size() != layout.bytes || header.bytes != layout.bytes)
        return MessageFault::too_short;
    for (const TextField& field : layout.texts)
        if (field.bytes != 0 && !terminated(packet, field))
            return MessageFault::unterminated;
    type = header.type;
    return MessageFault::none;
}

std::string_view fault_text(MessageFault fault) noexcept
{
    switch (fault) {
    case MessageFault::none:
        return "no fault";
    case MessageFault::too_short:
        return "a message of the wrong size";
    case MessageFault::bad_magic:
        return "not a ringmix message";
    case MessageFault::wrong_version:
        return "another major version of the protocol";
    case MessageFault::unknown_type:
        return "an unknown type of message";
    case MessageFault::unterminated:
        return "a message with a string that does not end";
    }
    return "an unknown fault";
}

void put_text(std::span<char> field, std::string_view text) noexcept
{
    if (field.empty())
        return;
    text = text.substr(0, text.find('\0'));
    std::size_t length = text.size();
    if (length >= field.size()) {
        length = field.size() - 1;
        // Not in the middle of a character: continuation bytes are 10xxxxxx, at most three of them.
        for (int back = 0; back < 3 && length > 0 && (static_cast<unsigned char>(text[length]) & 0xc0) == 0x80; ++back)
            --length;
    }
    std::memset(field.data(), 0, field.size());
    std::memcpy(field.data(), text.data(), length);
}

std::string_view text_of(std::span<const char> field) noexcept
{
    const auto end = std::find(field.begin(), field.end(), '\0');
    return {field.data(), static_cast<std::size_t>(end - field.begin())};
}

} // namespace ringmix::core
