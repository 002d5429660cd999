//! Posts from outside the viewer's network count less.

/// Multiplier per row: `factor` for rows known to be out of network and, with
/// `rescore_secondary`, for in-network replies and reposts; 1 otherwise, also when unknown.
pub fn out_of_network(
    in_network: &[Option<bool>],
    is_secondary: &[bool],
    factor: f64,
    rescore_secondary: bool,
) -> Vec<f64> {
    let row = |(in_network, secondary): (&Option<bool>, &bool)| match in_network {
        Some(false) => factor,
        Some(true) if *secondary && rescore_secondary => factor,
        _ => 1.0,
    };
    in_network.iter().zip(is_secondary).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unknown_is_never_scaled() {
        let in_network = [Some(true), Some(false), Some(true), None, None];
        let secondary = [false, false, true, false, true];
        let got = out_of_network(&in_network, &secondary, 0.75, true);
        assert_eq!(got, [1.0, 0.75, 0.75, 1.0, 1.0]);
        let plain = out_of_network(&in_network, &secondary, 0.75, false);
        assert_eq!(plain, [1.0, 0.75, 1.0, 1.0, 1.0]);
    }
}
