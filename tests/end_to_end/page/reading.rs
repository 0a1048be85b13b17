//! Whether people can read the page: contrast as the browser has computed it, names for a screen reader, and the way of the
//! keyboard.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::browser::Browser;

const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';

/// Each text with its colour, the colour behind it, its size and its weight.
const TEXTS: &str = "
    const behind = (element) => {
      if (element.closest('svg') && element.matches('.in')) return getComputedStyle(document.querySelector('svg .serves')).fill;
      for (let at = element; at; at = at.parentElement) {
        const colour = getComputedStyle(at).backgroundColor;
        if (!colour.endsWith(', 0)') && colour !== 'transparent') return colour;
      }
      return 'rgb(255, 255, 255)';
    };
    const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node; node = walker.nextNode();) {
      const element = node.parentElement, style = getComputedStyle(element);
      if (!node.data.trim() || !element.getClientRects().length || element.closest('script, style, noscript, .only-sr, .skip')) continue;
      const colour = element.closest('svg') ? style.fill : style.color;
      found.push([node.data.trim(), colour, behind(element), parseFloat(style.fontSize), parseInt(style.fontWeight)]);
    }
    return found;";

/// Red, green and blue of `rgb(1, 2, 3)`.
fn colour(text: &Value) -> Result<[f64; 3]> {
    let text = text.as_str().context("a colour")?;
    let inside = text.split_once('(').and_then(|(_, rest)| rest.split_once(')')).context("a colour")?.0;
    let numbers: Vec<f64> = inside.split(',').filter_map(|number| number.trim().parse().ok()).collect();
    let [red, green, blue] = numbers.as_slice() else { anyhow::bail!("{text} is not opaque") };
    Ok([*red, *green, *blue])
}

/// WCAG 2.2, relative luminance.
fn luminance(colour: [f64; 3]) -> f64 {
    let linear = colour.map(|value| {
        let value = value / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    });
    linear[0].mul_add(0.2126, linear[1].mul_add(0.7152, linear[2] * 0.0722))
}

fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
    let (one, other) = (luminance(one) + 0.05, luminance(other) + 0.05);
    one.max(other) / one.min(other)
}

/// Asserts level AA of every text: 4.5 to 1, or 3 to 1 where it is large.
pub fn assert_contrast(browser: &Browser<'_>) -> Result<()> {
    ensure!((contrast([0.0; 3], [255.0; 3]) - 21.0).abs() < 0.01);
    let texts = browser.run(TEXTS)?;
    let texts = texts.as_array().context("no texts")?;
    ensure!(texts.len() > 60, "only {} texts were found", texts.len());
    for text in texts {
        let found = contrast(colour(&text[1])?, colour(&text[2])?);
        let (size, weight) = (text[3].as_f64().context("a size")?, text[4].as_u64().context("a weight")?);
        let is_large = size >= 24.0 || size >= 18.66 && weight >= 700;
        let wanted = if is_large { 3.0 } else { 4.5 };
        ensure!(found >= wanted, "{found:.2} to 1, where {wanted} is wanted: {text}");
    }
    Ok(())
}

/// What the browser tells a screen reader: the landmarks, and that what can be acted upon has a name.
pub fn assert_names(browser: &Browser<'_>) -> Result<()> {
    let tree = browser.tool("Accessibility.getFullAXTree", &json!({}))?;
    let nodes = tree["nodes"].as_array().context("no tree")?;
    let named: Vec<(&str, &str)> = nodes
        .iter()
        .filter(|node| node["ignored"] != true)
        .filter_map(|node| {
            Some((node["role"]["value"].as_str()?, node["name"]["value"].as_str().unwrap_or_default()))
        })
        .collect();
    for role in ["banner", "main", "contentinfo"] {
        ensure!(
            named.iter().filter(|(one, _)| *one == role).count() == 1,
            "{role} is not there once: {named:?}"
        );
    }
    for (role, least) in [("region", 8), ("table", 4), ("link", 10), ("DisclosureTriangle", 6)] {
        let said: Vec<&str> = named.iter().filter(|(one, _)| *one == role).map(|(_, words)| *words).collect();
        ensure!(said.len() >= least, "{} of {role}: {named:?}", said.len());
        ensure!(said.iter().all(|name| !name.is_empty()), "a {role} without a name: {said:?}");
    }
    let is_told = |words: &str| named.iter().any(|(role, name)| *role == "link" && name.starts_with(words));
    ensure!(is_told("reload refused, ") && is_told("crash crashed, "), "the marks have no names: {named:?}");
    Ok(())
}

/// Asserts that Tab leads to everything that can be acted upon, in the order of the page, and shows where it is.
pub fn assert_keyboard(browser: &Browser<'_>) -> Result<()> {
    let wanted = browser.run(
        "window.all = [...document.querySelectorAll('a[href], summary, [tabindex=\"0\"]')]; return window.all.length",
    )?;
    let wanted = wanted.as_u64().context("a number")?;
    ensure!(wanted > 20, "only {wanted} can be reached");
    for place in 0..wanted {
        browser.press(TAB)?;
        let seen = browser.run(
            "const at = document.activeElement, style = getComputedStyle(at);
             return [window.all.indexOf(at), at.outerHTML.slice(0, 80), style.outlineStyle, parseFloat(style.outlineWidth)]",
        )?;
        ensure!(seen[0] == place, "at {place} Tab is at {seen}");
        ensure!(seen[2] != "none" && seen[3].as_f64() >= Some(2.0), "the focus is not to be seen: {seen}");
    }
    browser.run("document.activeElement.blur(); document.querySelector('.skip').focus()")?;
    browser.press(ENTER)?;
    let focused = browser.run("return document.activeElement.id")?;
    ensure!(focused == "main", "the skip link leads to {focused}");
    Ok(())
}
