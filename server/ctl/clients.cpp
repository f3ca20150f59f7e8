// SPDX-License-Identifier: LGPL-2.1-or-later
//
// ringmixctl clients: who plays, in which format, and how it goes.
#include "commands.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <iterator>
#include <vector>

namespace ringmix::ctl {
namespace {

using protocol::ClientInfo;

constexpr std::string_view stream_name(std::uint32_t state)
{
    constexpr std::array<std::string_view, 6> names{"idle", "prepared", "running", "paused", "draining", "xrun"};
    return state < names.size() ? names[state] : "?";
}

constexpr std::string_view slot_name(std::uint32_t state)
{
    constexpr std::array<std::string_view, 4> names{"free", "claimed", "active", "retiring"};
    return state < names.size() ? names[state] : "?";
}

std::vector<ClientInfo> receive_all(client::Connection& connection)
{
    std::vector<ClientInfo> infos;
    connection.send(core::make_message<protocol::AskClients>());
    while (connection.receive() == protocol::type_client_info) {
        infos.push_back(connection.received<ClientInfo>());
        if (infos.size() > abi::max_slots)
            throw client::ClientError(EPROTO, "the server lists more clients than it can have");
    }
    const auto done = connection.received<protocol::Done>();
    if (done.count != infos.size())
        throw client::ClientError(
            EPROTO, fmt::format("the server listed {} clients and says it were {}", infos.size(), done.count));
    return infos;
}

std::string json_object(const ClientInfo& info)
{
    std::string out = "{";
    const auto add = [&](std::string_view key, const auto& value) {
        fmt::format_to(std::back_inserter(out), "{}\"{}\": {}", out.size() == 1 ? "" : ", ", key, value);
    };
    add("id", info.id);
    add("name", quoted(core::text_of(info.name)));
    add("pid", info.pid);
    add("uid", info.uid);
    add("state", quoted(stream_name(info.state)));
    add("slot_state", quoted(slot_name(info.slot_state)));
    add("format", json_format(info.format));
    add("rate", info.rate);
    add("channels", info.channels);
    add("queued_frames", info.queued_frames);
    add("lane_frames", info.lane_frames);
    // JSON has no infinity: silence has no level.
    add("gain_db", info.gain == 0 ? std::string("null") : fmt::format("{:.2f}", gain_db(info.gain)));
    add("muted", info.muted != 0);
    add("converted", info.converted != 0);
    add("conversion_latency", info.latency_frames);
    add("underruns", info.underruns);
    add("late_frames", info.late_frames);
    return out + "}";
}

std::string json_text(const std::vector<ClientInfo>& infos)
{
    std::string out = "[";
    for (const ClientInfo& info : infos)
        out += (out.size() == 1 ? "\n  " : ",\n  ") + json_object(info);
    return out + (infos.empty() ? "]\n" : "\n]\n");
}

using Row = std::array<std::string, 10>;

std::string level_text(const ClientInfo& info)
{
    if (info.muted != 0)
        return "muted";
    return info.gain == 0 ? "silent" : fmt::format("{:.1f} dB", gain_db(info.gain));
}

Row row_of(const ClientInfo& info)
{
    const bool configured = info.channels != 0;
    return {std::to_string(info.id),
            printable(core::text_of(info.name)),
            std::to_string(info.pid),
            std::string(stream_name(info.state)),
            configured ? fmt::format("{} {} ch {} Hz", format_or_dash(info.format), info.channels, info.rate) : "-",
            !configured           ? "-"
            : info.converted != 0 ? milliseconds(info.latency_frames, info.rate)
                                  : "no",
            configured ? milliseconds(info.queued_frames, info.rate) : "-",
            level_text(info),
            std::to_string(info.underruns),
            fmt::format("{} frames", info.late_frames)};
}

// Numbers to the right, words to the left; columns as wide as their widest entry (in characters).
std::string table(const std::vector<Row>& rows)
{
    constexpr Row::size_type columns = std::tuple_size_v<Row>;
    constexpr std::string_view alignment = "><><<>>>>>";
    static_assert(alignment.size() == columns);
    const auto width_of = [](const std::string& text) {
        return static_cast<std::size_t>(std::count_if(
            text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
    };
    std::array<std::size_t, columns> widths{};
    for (const Row& row : rows)
        for (std::size_t i = 0; i < columns; ++i)
            widths[i] = std::max(widths[i], width_of(row[i]));
    std::string out;
    for (const Row& row : rows) {
        std::string line;
        for (std::size_t i = 0; i < columns; ++i) {
            const std::string padding(widths[i] - width_of(row[i]), ' ');
            line += (i == 0 ? "" : "  ") + (alignment[i] == '>' ? padding + row[i] : row[i] + padding);
        }
        out += line.substr(0, line.find_last_not_of(' ') + 1) + '\n';
    }
    return out;
}

std::string people_text(const std::vector<ClientInfo>& infos)
{
    if (infos.empty())
        return "no clients\n";
    std::vector<Row> rows{{"id", "name", "pid", "state", "format", "converted", "queued", "gain", "underruns", "late"}};
    for (const ClientInfo& info : infos)
        rows.push_back(row_of(info));
    return table(rows);
}

} // namespace

std::string clients(client::Connection& connection, bool json, Words)
{
    const std::vector<ClientInfo> infos = receive_all(connection);
    return json ? json_text(infos) : people_text(infos);
}

} // namespace ringmix::ctl
