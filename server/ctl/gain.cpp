// SPDX-License-Identifier: LGPL-2.1-or-later
//
// ringmixctl gain, mute, unmute: how loud a client is heard.
#include "commands.h"

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fmt/format.h>

namespace ringmix::ctl {
namespace {

// CLIENT: all digits is an id.
void name_client(protocol::SetGain& request, std::string_view client)
{
    const auto [end, error] = std::from_chars(client.data(), client.data() + client.size(), request.id);
    if (error == std::errc{} && end == client.data() + client.size())
        return;
    request.id = protocol::no_slot;
    if (client.empty() || client.size() >= protocol::name_bytes)
        throw UsageError(fmt::format("'{}' is no client's id or name", client));
    core::put_text(request.name, client);
}

// DB, =DB: absolute; +DB, -DB: relative.
void read_gain(protocol::SetGain& request, const char* text)
{
    const bool relative = (*text == '+' || *text == '-') && std::strcmp(text, "-inf") != 0;
    const char* number = *text == '=' ? text + 1 : text;
    char* end = nullptr;
    const double db = std::strtod(number, &end);
    if (end == number || *end != '\0' || std::isnan(db) || (relative && std::isinf(db)) ||
        (!relative && db * 100 > protocol::max_millibel))
        throw UsageError(fmt::format("gain: '{}' is no gain: a number of decibels up to {}, or -inf", text,
                                     protocol::max_millibel / 100));
    request.what = relative ? protocol::gain_relative : protocol::gain_absolute;
    constexpr double quietest = -20000; // 200 dB: less than the last bit of any format
    request.millibel = db * 100 < quietest ? (relative ? -20000 : protocol::millibel_silence)
                                           : static_cast<std::int32_t>(std::lround(std::fmin(db * 100, -quietest)));
}

std::string ask(client::Connection& connection, bool json, const protocol::SetGain& request, std::string_view client)
{
    const auto done = connection.ask<protocol::Done>(request);
    if (done.count == 0)
        throw client::ClientError(ENOENT, fmt::format("there is no client '{}'; see ringmixctl clients", client));
    return json ? fmt::format("{{\n  \"clients\": {}\n}}\n", done.count) : std::string();
}

std::string set_muted(client::Connection& connection, bool json, std::string_view client, std::uint32_t what)
{
    auto request = core::make_message<protocol::SetGain>();
    request.what = what;
    name_client(request, client);
    return ask(connection, json, request, client);
}

} // namespace

std::string gain(client::Connection& connection, bool json, Words words)
{
    auto request = core::make_message<protocol::SetGain>();
    name_client(request, words[0]);
    read_gain(request, words[1]);
    return ask(connection, json, request, words[0]);
}

std::string mute(client::Connection& connection, bool json, Words words)
{
    return set_muted(connection, json, words[0], protocol::gain_mute);
}

std::string unmute(client::Connection& connection, bool json, Words words)
{
    return set_muted(connection, json, words[0], protocol::gain_unmute);
}

} // namespace ringmix::ctl
