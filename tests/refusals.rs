//! Programs that execve rejects are rejected here with the same errno, and the caller continues unchanged.

#[path = "refusals/busy.rs"]
mod busy;
#[path = "refusals/pairs.rs"]
mod pairs;
#[path = "refusals/paths.rs"]
mod paths;
#[path = "refusals/permissions.rs"]
mod permissions;
#[path = "refusals/room.rs"]
mod room;
#[path = "refusals/unharmed.rs"]
mod unharmed;

use libtest_mimic::Arguments;

fn main() {
    let trials = [
        paths::trials(),
        permissions::trials(),
        busy::trials(),
        room::trials(),
        pairs::trials(),
        unharmed::trials(),
    ];
    let trials = trials.into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
