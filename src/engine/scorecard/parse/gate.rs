//! Gates: limits on the score while a condition holds.

use super::super::{Gate, GateEffect};
use super::condition::read_condition;
use crate::engine::yaml::{Field, Fields};

/// Reads all gates; conditions may name the measures of `ids`.
pub(super) fn read_gates(field: &Field<'_>, ids: &[&str]) -> Option<Vec<Gate>> {
    let gates: Vec<Option<Gate>> =
        field.list()?.iter().map(|item| item.mapping(|fields| read_gate(fields, ids))).collect();
    let mut earlier: Vec<&str> = Vec::new();
    for (index, gate) in gates.iter().enumerate() {
        let Some(gate) = gate else { continue };
        if earlier.contains(&&*gate.id) {
            return field.list()?[index]
                .error(format!("has id `{}`, used by a gate before", gate.id));
        }
        earlier.push(&gate.id);
    }
    gates.into_iter().collect()
}

fn read_gate(fields: &Fields<'_>, ids: &[&str]) -> Option<Gate> {
    let id = fields.require("id").and_then(|field| field.name().map(str::to_string));
    let effect = fields.exactly_one(&["cap", "floor"]).and_then(|(key, field)| {
        let limit = field.number_in(0.0..=100.0)?;
        Some(if key == "cap" { GateEffect::Cap(limit) } else { GateEffect::Floor(limit) })
    });
    let when = fields.require("when").and_then(|field| read_condition(&field, Some(ids)));
    let reason = fields.require("reason").and_then(|field| field.text().map(str::to_string));
    Some(Gate { id: id?, effect: effect?, when: when?, reason: reason? })
}
