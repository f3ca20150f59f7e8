// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/json.h"

#include "core/text.h"

#include <cstdint>
#include <cstring>

namespace ringmix::core {

namespace {

// One character as it goes into the output: an escape, a UTF-8 sequence or U+FFFD.
struct Piece {
    char bytes[6];
    std::size_t size;  // of `bytes`
    std::size_t taken; // bytes of the text that it stands for
};

constexpr char hex_digits[] = "0123456789abcdef";

Piece escaped(char letter) noexcept { return {{'\\', letter}, 2, 1}; }

Piece ascii_piece(char c) noexcept
{
    switch (c) {
    case '"':
    case '\\':
        return escaped(c);
    case '\b':
        return escaped('b');
    case '\f':
        return escaped('f');
    case '\n':
        return escaped('n');
    case '\r':
        return escaped('r');
    case '\t':
        return escaped('t');
    default:
        break;
    }
    const auto code = static_cast<std::uint8_t>(c);
    if (code < 0x20)
        return {{'\\', 'u', '0', '0', hex_digits[code >> 4], hex_digits[code & 15]}, 6, 1};
    return {{c}, 1, 1};
}

Piece next_piece(std::string_view text) noexcept
{
    const std::size_t length = utf8_length(text);
    if (length == 0)
        return {{'\xef', '\xbf', '\xbd'}, 3, 1};
    if (length == 1)
        return ascii_piece(text[0]);
    Piece piece{{}, length, length};
    std::memcpy(piece.bytes, text.data(), length);
    return piece;
}

} // namespace

std::size_t json_string(char* out, std::size_t size, std::string_view text) noexcept
{
    if (size < 2)
        return 0;
    std::size_t used = 0;
    out[used++] = '"';
    while (!text.empty()) {
        const Piece piece = next_piece(text);
        if (piece.size > size - 1 - used)
            break;
        std::memcpy(out + used, piece.bytes, piece.size);
        used += piece.size;
        text.remove_prefix(piece.taken);
    }
    out[used++] = '"';
    return used;
}

} // namespace ringmix::core
