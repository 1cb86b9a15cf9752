//! Operations on what is wanted: applications, generations, templates, compose files.

use serde_json::json;

use super::list::{CHANGE, List, flag, of, plain, text, value, values};
use crate::publishers::views::Catalogue;
use crate::views::templates::{OrderBody, Preflight, Sheet, Summary};
use crate::views::{Application, Deployment, Generation, ImportBody, Imported, Restarting, Upgrades};

const TAG: &str = "applications";

pub(super) fn list(list: &mut List) {
    list.add(TAG, ("get", "/applications"), "Applications with their states")
        .answers(values::<Application>(), "Applications");
    list.add(TAG, ("post", "/applications"), "Deploy a document, or plan it")
        .about("It is taken when this answers; what is done for it is told by the events from `events` on. A document that does more than run applications needs an admin.")
        .query(CHANGE)
        .query(&[
            flag("refresh", "Tags are looked up anew; else an application keeps the image that its tag led to"),
            flag(
                "make_secrets",
                "Secrets that its templates make, and that are not there, are made with it; else they have to be there",
            ),
        ])
        .body(of("application/yaml"), true)
        .body(of("application/json"), true)
        .answers(value::<Deployment>(), "The deployment that was taken, or would be");
    list.add(TAG, ("get", "/applications/{name}"), "An application with the cause of its state")
        .answers(value::<Application>(), "The application");
    list.add(TAG, ("delete", "/applications/{name}"), "Remove an application")
        .query(CHANGE)
        .query(&[text("data", "Fate of its data: `keep` (without a word), `backup` or `wipe`")])
        .answers(value::<Deployment>(), "The deployment that was taken, or would be");
    list.add(TAG, ("post", "/applications/{name}/restart"), "Start its instances anew, without a new version")
        .about(
            "One after another where it has several, else while requests wait. It is taken when this answers; its end is an event `restarted`. Refused where it is stopped or paused \
             (`not_running`), held (`held`), or a version of it is on its way (`on_its_way`).",
        )
        .query(&CHANGE[..3])
        .query(&[text("instance", "The one instance that is meant, by name or number")])
        .answers(value::<Restarting>(), "The restart that was taken");
    list.add(TAG, ("get", "/applications/{name}/upgrade"), "Newer versions of the template that it is made of")
        .answers(value::<Upgrades>(), "Those that may take the place of the present one");
    list.add(TAG, ("post", "/applications/{name}/upgrade"), "Bring it to a newer version of its template")
        .about(
            "Its answers, its data and what was written beside the template stay; secrets and companions that the newer version brings are made. Refused where no version that is meant may take the \
             place of the present one (`order`).",
        )
        .query(CHANGE)
        .query(&[
            text(
                "version",
                "Version of the template; without it the newest that may take the place of the present one",
            ),
            flag("refresh", "Tags are looked up anew"),
        ])
        .answers(value::<Deployment>(), "The deployment that was taken, or would be");
    list.add(TAG, ("get", "/generations"), "Generations: who, when, why")
        .answers(values::<Generation>(), "Generations, the newest first");
    list.add(TAG, ("get", "/generations/{number}"), "The document of a generation")
        .answers(of("application/yaml"), "The document");
    list.add(TAG, ("get", "/generations/{number}/diff/{other}"), "What differs between two generations")
        .answers(plain(json!({ "type": "array", "items": { "type": "string" } })), "Differences, one a line");
    list.add(TAG, ("post", "/generations/{number}/restore"), "Go back to the content of a generation, as a new one")
        .query(CHANGE)
        .query(&[text(
            "lines",
            "Lines of data that come back too: `APPLICATION/VOLUME:NUMBER`, with commas between them",
        )])
        .answers(value::<Deployment>(), "The deployment that was taken, or would be");
    templates(list);
    list.add(TAG, ("post", "/import"), "Read a compose file into a document; deploys nothing")
        .body(of("application/yaml"), true)
        .body(value::<ImportBody>(), true)
        .answers(value::<Imported>(), "The document, and what is not as in Docker");
}

fn templates(list: &mut List) {
    list.add(TAG, ("get", "/templates"), "Templates of applications")
        .about("The built-in ones, and those of the catalogues of other publishers that the document names: each of these says its catalogue and its publisher.")
        .query(&[text("search", "Words that a template has"), text("category", "Its category")])
        .answers(values::<Summary>(), "Templates");
    list.add(TAG, ("get", "/templates/{name}"), "A template with its form")
        .query(&[
            text("version", "Its version; the newest without it"),
            text("catalogue", "Its catalogue; a built-in template without it"),
        ])
        .answers(value::<Sheet>(), "The template");
    list.add(TAG, ("post", "/templates/{name}/preflight"), "Hold an order against the machine; changes nothing")
        .body(value::<OrderBody>(), true)
        .answers(value::<Preflight>(), "What it comes to, and what is against it");
    list.add(TAG, ("post", "/templates/{name}/deploy"), "Make an application of answers")
        .query(CHANGE)
        .query(&[flag("refresh", "Tags are looked up anew")])
        .body(value::<OrderBody>(), true)
        .answers(value::<Deployment>(), "The deployment that was taken, or would be");
    list.add(TAG, ("get", "/catalogues"), "Catalogues of other publishers, with the states of their copies")
        .answers(values::<Catalogue>(), "Catalogues");
    list.add(TAG, ("post", "/catalogues/{name}/refresh"), "Look at the place of a catalogue, and take what is there")
        .about("Where something is against it (`catalogue_signature`, `catalogue_key`, `catalogue_older`, `catalogue_expired`, ...) the copy that is there stays in use.")
        .answers(value::<Catalogue>(), "The catalogue");
}
