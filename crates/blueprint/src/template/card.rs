//! The part of a template that people read: title, needs, where it opens, what its data are.

use std::collections::BTreeMap;

use crate::document::{Name, PackageVersion, Processors, Size};
use crate::text::{record, words};

words! {
    /// Category of a template, by which a store is sorted.
    Category {
        /// Web sites and their frameworks.
        Web = "web",
        /// Databases.
        Database = "database",
        /// Watching machines and applications.
        Monitoring = "monitoring",
        /// Nodes of blockchains.
        Blockchain = "blockchain",
        /// Environments for those who write programs.
        Development = "development",
        /// Tools for data and analysis.
        Data = "data",
        /// Language models and their pages.
        Ai = "ai",
        /// Events, devices and flows.
        Automation = "automation",
        /// Files, passwords and other things of a person's own.
        Personal = "personal",
        /// Games.
        Games = "games",
        /// Parts of Openmesh itself.
        Openmesh = "openmesh",
    }
}

words! {
    /// Architecture of processors, in the words of images.
    Architecture {
        /// 64-bit x86.
        Amd64 = "amd64",
        /// 64-bit ARM.
        Arm64 = "arm64",
    }
}

record! {
    /// Needs of a template: below them it does not work, or not well.
    Needs {
        /// Memory that it needs with the default answers.
        memory: Size,
        /// Disk that it needs with the default answers: volumes and image.
        disk: Size,
        /// The part of it that its image takes, unpacked, whatever is answered.
        image: Size,
        /// Processors with which it is usable.
        processors: Processors = Processors(1000),
        /// Architectures that its packages exist for; every one where the list is empty.
        architectures: Vec<Architecture>,
        /// Release of Debian that its packages are of; none where it has no packages of Debian.
        release: Option<String>,
    }
}

record! {
    /// The place at which a person opens the application.
    Open {
        /// Name of the port.
        port: Name,
        /// Scheme of its address: `http`, or that of a client program (`postgresql`, `redis`).
        scheme: String = "http".to_string(),
        /// Path with its query.
        path: String = "/".to_string(),
        /// Words for the first sign-in.
        sign_in: Option<String>,
    }
}

record! {
    /// A volume, in words.
    Kept {
        /// Its contents.
        holds: String,
        /// Only one instance at a time may write to it.
        single_writer: bool = true,
    }
}

record! {
    /// A template as a store shows it.
    Card {
        /// Title.
        title: String,
        /// Category.
        category: Category,
        /// One line.
        summary: String,
        /// A paragraph or two, in plain words.
        description: String,
        /// Home page of the software.
        homepage: String,
        /// Licence of the software, as an SPDX expression.
        licence: String,
        /// Needs.
        needs: Needs,
        /// The place at which it is opened.
        open: Option<Open>,
        /// Volumes by their name, in words.
        data: BTreeMap<Name, Kept>,
        /// Hints for use, a sentence or two each.
        notes: Vec<String>,
        /// Versions of the template that this one may take the place of.
        upgrades: Vec<PackageVersion>,
        /// It was never run by those who wrote it: its image could not be had where they work.
        not_run_here: bool = false,
    }
}
