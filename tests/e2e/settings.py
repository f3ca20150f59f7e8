# SPDX-License-Identifier: LGPL-2.1-or-later
"""Other settings of libasound's on this machine."""

from pathlib import Path

from harness import Player, Server, Skip, scenario
from playing import check_recording

# As PulseAudio's in /etc/alsa/conf.d: a function out of a plugin is called before any program may open anything.
# It loads the file "default" here.
HOOK = """
hook_func.load_for_test {{
	lib "libasound_module_conf_test.so"
	func "snd_config_hook_load"
}}
@hooks [ {{
	func load_for_test
	files [ "{folder}/default" ]
}} ]
"""


def machine_plugins(context):
    """A folder that stands for /usr/lib/.../alsa-lib: what is there, and a plugin with the function (libasound's own)."""
    folder = context.folder / "plugins"
    folder.mkdir()
    for plugin in Path("/usr/lib").glob("*/alsa-lib/*.so"):
        (folder / plugin.name).symlink_to(plugin)
    library = next(Path("/usr/lib").glob("*/libasound.so.2"), None)
    if library is None:
        raise Skip("no libasound below /usr/lib")
    (folder / "libasound_module_conf_test.so").symlink_to(library)
    return folder


@scenario("settings-with-plugins")
def settings_with_plugins(context):
    """The machine's own plugins are found, and ringmix beside them."""
    (context.folder / "default").write_text('pcm.!default "ringmix"')
    config = context.asoundrc(HOOK.format(folder=context.folder))
    env = context.environment(ALSA_CONFIG_PATH=config, ALSA_PLUGIN_DIR=machine_plugins(context))
    with Server(context) as server:
        player = Player(context, context.shop.noise(24000), device="default", env=env)
        player.finish()
        server.wait_free()
    return check_recording(server, [player])
