//! The token as a browser shows it after it has asked a person for a name and a password: `Authorization: Basic`, base64 of
//! `NAME:PASSWORD`. The name does not matter, the password is the token.

/// The password in what stands behind `Basic `.
pub fn password(encoded: &[u8]) -> Option<Vec<u8>> {
    let decoded = decode(encoded.trim_ascii())?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    decoded.get(colon + 1..).map(<[u8]>::to_vec)
}

/// Base64 with or without padding; nothing if it is something else.
fn decode(encoded: &[u8]) -> Option<Vec<u8>> {
    let padding = encoded.iter().rev().take_while(|byte| **byte == b'=').count();
    let digits = encoded.get(..encoded.len().checked_sub(padding)?)?;
    if padding > 2 || digits.len() % 4 == 1 {
        return None;
    }
    let mut decoded = Vec::with_capacity(digits.len());
    for four in digits.chunks(4) {
        let mut bits = 0_u32;
        for byte in four {
            bits = (bits << 6) | u32::from(digit(*byte)?);
        }
        // What is missing of four digits counts as zero, and gives no byte.
        bits <<= 6 * (4 - four.len());
        let [_, bytes @ ..] = bits.to_be_bytes();
        decoded.extend(bytes.iter().take(four.len() - 1));
    }
    Some(decoded)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_what_stands_behind_the_first_colon() {
        for (encoded, wanted) in [
            ("bWU6c2VjcmV0", "secret"),
            ("bWU6c2VjcmU=", "secre"),
            ("bWU6c2Vjcg==", "secr"),
            ("bWU6c2Vjcg", "secr"),
            ("OmE6Yg==", "a:b"),
            ("bWU6", ""),
        ] {
            assert_eq!(password(encoded.as_bytes()).as_deref(), Some(wanted.as_bytes()), "{encoded}");
        }
    }

    #[test]
    fn what_is_no_base64_or_has_no_colon_is_none() {
        for encoded in
            ["", "=", "====", "bWU", "bWU6c2VjcmV0A", "b-U6", "bWU6 c2Vj", "bWU6=c2V", "bWU6c2VjcmU==="]
        {
            assert_eq!(password(encoded.as_bytes()), None, "{encoded}");
        }
        assert_eq!(password(b"\xff\xfe\xff\xfe"), None);
    }
}
