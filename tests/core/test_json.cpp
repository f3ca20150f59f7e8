// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/json.h"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

using namespace ringmix::core;
using namespace std::string_literals;

namespace {

// json_string into exactly `size` bytes, so that the address sanitizer sees any write beyond.
std::string json(std::string_view text, std::size_t size = 4096)
{
    std::vector<char> out(size);
    const std::size_t used = json_string(out.data(), size, text);
    REQUIRE(used <= size);
    return {out.data(), used};
}

std::string quoted(std::string text)
{
    text.insert(text.begin(), '"');
    text.push_back('"');
    return text;
}

bool hex_digits(std::string_view text)
{
    return text.size() == 4 && text.find_first_not_of("0123456789abcdef") == text.npos;
}

// The bytes of one UTF-8 character at the start of `text`, by decoding it; 0 if it is not valid.
std::size_t character(std::string_view text)
{
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    if (byte(0) < 0x80)
        return 1;
    for (std::size_t length = 2; length <= 4; ++length) {
        if (byte(0) >> (7 - length) != (1 << (length + 1)) - 2 || text.size() < length)
            continue;
        std::uint32_t code = byte(0) & (0x7fu >> length);
        for (std::size_t i = 1; i < length; ++i) {
            if (byte(i) >> 6 != 2)
                return 0;
            code = code << 6 | (byte(i) & 0x3f);
        }
        constexpr std::uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        return code < least[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : length;
    }
    return 0;
}

// True if `text` is one JSON string and nothing else.
bool valid_json(std::string_view text)
{
    if (text.size() < 2 || text.front() != '"' || text.back() != '"')
        return false;
    text = text.substr(1, text.size() - 2);
    while (!text.empty()) {
        std::size_t length = character(text);
        if (length == 0 || static_cast<unsigned char>(text[0]) < 0x20 || text[0] == '"')
            return false;
        if (text[0] == '\\') {
            if (text.size() < 2 || std::string_view("\"\\/bfnrtu").find(text[1]) == text.npos)
                return false;
            length = text[1] == 'u' ? 6 : 2;
            if (length == 6 && !hex_digits(text.substr(2, 4)))
                return false;
        }
        text.remove_prefix(length);
    }
    return true;
}

} // namespace

TEST_CASE("json: plain text")
{
    CHECK(json("") == "\"\"");
    CHECK(json("mpg123 /tmp") == "\"mpg123 /tmp\"");
    CHECK(json("\x7f") == "\"\x7f\"");
}

TEST_CASE("json: escapes and control characters")
{
    CHECK(json("a\"b\\c") == R"("a\"b\\c")");
    CHECK(json("\b\f\n\r\t") == R"("\b\f\n\r\t")");
    CHECK(json("\0\x01\x1b\x1f"s) == R"("\u0000\u0001\u001b\u001f")");
}

TEST_CASE("json: valid UTF-8 passes")
{
    for (const char* text : {"\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf",
                             "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "Gr\xc3\xbc\xc3\x9f"})
        CHECK(json(text) == quoted(text));
}

TEST_CASE("json: bytes that are not UTF-8 become U+FFFD, one each")
{
    for (const auto& text : {"\x80"s, "\xbf"s, "\xc3"s, "\xc0\x80"s, "\xc1\xbf"s, "\xe0\x9f\xbf"s, "\xe2\x82"s,
                             "\xed\xa0\x80"s, "\xf0\x8f\xbf\xbf"s, "\xf4\x90\x80\x80"s, "\xf5\x80\x80\x80"s, "\xff"s}) {
        std::string expected;
        for (std::size_t i = 0; i < text.size(); ++i)
            expected += "\xef\xbf\xbd";
        CHECK(json(text) == quoted(expected));
    }
    CHECK(json("a\xc3(\xa9") == quoted("a\xef\xbf\xbd(\xef\xbf\xbd"));
}

TEST_CASE("json: cut where it is full")
{
    CHECK(json("abc", 0).empty());
    CHECK(json("abc", 1).empty());
    CHECK(json("abc", 2) == "\"\"");
    CHECK(json("abc", 4) == "\"ab\"");
    CHECK(json("abc", 5) == "\"abc\"");
    CHECK(json("a\nb", 4) == "\"a\"");
    CHECK(json("a\x01z", 8) == "\"a\"");
    CHECK(json("a\xe2\x82\xac", 5) == "\"a\"");
    CHECK(json("a\xe2\x82\xac", 6) == "\"a\xe2\x82\xac\"");
    CHECK(json("a\xff", 5) == "\"a\"");
}

TEST_CASE("json: any bytes in any space stay valid JSON")
{
    constexpr unsigned seed = 20240117;
    INFO("seed ", seed);
    std::mt19937 random(seed);
    const std::string spice = "\"\\\n\x01\xc3\xa9\xe2\x82\xac\xf0\x9f\x8e\xb5\xed\xa0\x80";
    bool valid = true;
    for (int round = 0; round < 5000; ++round) {
        std::string text(random() % 24, ' ');
        for (char& c : text)
            c = random() % 2 ? static_cast<char>(random()) : spice[random() % spice.size()];
        const std::string whole = json(text);
        for (std::size_t size = 2; size < whole.size() + 2; ++size) {
            const std::string cut = json(text, size);
            valid = valid && valid_json(cut) && whole.starts_with(cut.substr(0, cut.size() - 1));
        }
    }
    CHECK(valid);
}
