//! Any bytes as the files of a configuration, and everything that is made of them.

use std::net::SocketAddr;
use std::path::Path;

use super::environment::Variables;
use super::words::{places, words};
use super::{BindLines, Configuration, Endpoint, SourceFile, Span};
use crate::command_line::ChildFd;
use crate::derived::{Sections, asked, beside, derive};
use crate::drift::Digest;
use crate::fuzz::parts;
use crate::overlay::{Lua, Overlay, WorkerCapability};
use crate::quoted::quoted;
use crate::version::Version;

/// What a name on a command line may have, beside what it mostly has.
const NAMES: [&str; 2] = ["/etc/ha proxy#'\"\\$x/a.cfg", "/etc/b.cfg"];

/// Two files, with 0xff between them.
pub(crate) fn configuration(data: &[u8]) {
    let texts: [&[u8]; 2] = parts(data);
    let files: Vec<SourceFile> = NAMES
        .iter()
        .zip(texts)
        .map(|(name, text)| SourceFile { name: name.into(), path: name.into(), bytes: text.to_vec() })
        .collect();
    texts.into_iter().flat_map(lines).for_each(cut_into_words);
    let configuration = Configuration::scan(files, &lookup);
    every_place_is_in_the_files(&configuration);
    the_copy_with_private_ports_says_the_same(&configuration);
    the_copy_beside_has_every_line(&configuration);
    the_overlay_has_only_its_own_lines(&configuration);
    what_is_asked_of_it(&configuration, data);
}

fn lookup(name: &str) -> Option<String> {
    let value = match name {
        "PORT" => "8080",
        "LIST" => "one  two three",
        "QUOTES" => "\"'\\ #",
        _ => return None,
    };
    Some(value.to_owned())
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
}

/// Words and their places are as many, in order, and what is written as one word is read as one.
fn cut_into_words(line: &[u8]) {
    let places = places(line);
    assert_eq!(places.len(), words(line, &Variables::new(&|_| None)).len());
    let mut last = 0;
    for place in &places {
        assert!(last <= place.start && place.start <= place.end && place.end <= line.len(), "{places:?}");
        last = place.end;
    }
    let path = String::from_utf8_lossy(line).replace('\0', "");
    let read = words(&quoted(Path::new(&path)), &Variables::new(&lookup));
    assert_eq!(read.concat(), path);
    assert_eq!(read.len(), usize::from(!path.is_empty()));
}

fn every_place_is_in_the_files(configuration: &Configuration) {
    let spans = configuration.sections.iter().map(|section| &section.span);
    let spans = spans.chain(configuration.binds.iter().map(|bind| &bind.span));
    let spans = spans.chain(configuration.stats_sockets.iter().map(|socket| &socket.span));
    let spans = spans.chain(configuration.transparent.iter().map(|line| &line.span));
    let spans = spans.chain(configuration.servers.iter().map(|server| &server.span));
    let spans = spans.chain(configuration.log_targets.iter().map(|target| &target.span));
    let spans = spans.chain(configuration.references.iter().map(|reference| &reference.span));
    for span in spans {
        assert!(line_of(&configuration.files, span).is_some(), "{span}");
    }
}

fn line_of<'a>(files: &'a [SourceFile], span: &Span) -> Option<&'a [u8]> {
    let file = files.iter().find(|file| file.name == *span.file)?;
    lines(&file.bytes).nth(span.line.checked_sub(1)?)
}

fn the_copy_with_private_ports_says_the_same(configuration: &Configuration) {
    let mut next = 20_000_u16;
    let mut private = |_: SocketAddr| {
        next += 1;
        (next < 60_000).then_some(next)
    };
    let Ok(derived) = derive(configuration, &mut private) else { return };
    assert_eq!(derived.files.len(), configuration.files.len());
    let files: Vec<SourceFile> = configuration
        .files
        .iter()
        .zip(derived.files)
        .map(|(file, bytes)| SourceFile { bytes, ..file.clone() })
        .collect();
    for (file, copy) in configuration.files.iter().zip(&files) {
        assert_eq!(lines(&file.bytes).count(), lines(&copy.bytes).count());
        for (index, (line, now)) in lines(&file.bytes).zip(lines(&copy.bytes)).enumerate() {
            let is_moved = |span: &Span| span.line == index + 1 && *span.file == file.name;
            assert!(
                line == now || derived.moved.iter().any(|moved| is_moved(&moved.span)),
                "line {}",
                index + 1
            );
        }
    }
    let copy = Configuration::scan(files, &lookup);
    assert_eq!(copy.binds.len(), configuration.binds.len());
    for moved in &derived.moved {
        let wanted = SocketAddr::new(moved.public.ip(), moved.private);
        let bind = copy.binds.iter().find(|bind| bind.span == moved.span);
        let has_it = bind.is_some_and(|bind| {
            bind.endpoints.iter().flat_map(Endpoint::socket_addresses).any(|is| is == wanted)
        });
        assert!(has_it, "{moved:?}: {bind:?}");
    }
}

fn the_copy_beside_has_every_line(configuration: &Configuration) {
    for sections in [Sections::All, Sections::WithoutPrograms] {
        let copies = beside(configuration, sections);
        for file in &configuration.files {
            let count = lines(&file.bytes).count();
            let mut copies = copies.iter().filter(|copy| copy.name == file.name);
            assert!(copies.any(|copy| lines(&copy.bytes).count() == count), "{}", file.name.display());
        }
        let programs = Configuration::scan(copies, &lookup).programs;
        assert!(sections == Sections::All || programs.is_empty(), "{programs:?}");
    }
}

/// Nothing of the user's files, or of their names, becomes a line of it.
fn the_overlay_has_only_its_own_lines(configuration: &Configuration) {
    let rights = [WorkerCapability::NetRaw];
    let mut overlay =
        Overlay::new(ChildFd(9), configuration, Version::release(3, 2, 0), &rights, Some("unix@/m#a \"b"));
    overlay.lua = Lua::of(configuration, ChildFd(8), Some("unix@/m\n\"b"));
    let read = Configuration::of_text(Path::new("overlay"), &overlay.to_string());
    assert_eq!((read.sections.len(), read.stats_sockets.len(), read.binds.len()), (1, 1, 0), "{overlay}");
    let directory = read.global.default_path.map(|setting| setting.value);
    assert_eq!(directory, overlay.default_path.map(|path| format!("origin {}", path.display())));
    for (name, value) in &overlay.variables {
        let set = read.environment.get(*name).cloned().flatten();
        assert_eq!(set.as_deref(), Some(&*value.to_string_lossy()));
    }
    if let Some(lua) = &overlay.lua {
        assert_eq!(lua.text().split(|byte| *byte == b'\n').count(), 7);
    }
}

fn what_is_asked_of_it(configuration: &Configuration, data: &[u8]) {
    let _ = (configuration.mismatches(), configuration.is_transparent(), asked(configuration));
    let _ = configuration.tcp_addresses().take(100).count();
    let _ = BindLines::of(configuration);
    for bind in &configuration.binds {
        bind.guards.iter().for_each(|guard| drop((guard.argument(), guard.to_string())));
    }
    super::references::fuzz::certificate_list(configuration, data);
    assert_eq!(Digest::of(data), Digest::of(data));
}
