//! Which matrix writes a site: its rows are what each input of a linear map adds there.
//!
//! | site | matrix, rows x units |
//! |---|---|
//! | `hook_hidden` of an autoencoder | W transposed: features x hidden units |
//! | `hook_embed`, `hook_pos_embed` | W_E, W_pos |
//! | `attn.hook_q`, `hook_k`, `hook_v` | W_Q, W_K, W_V, heads side by side |
//! | `hook_attn_out` | W_O, heads one below the other |
//! | `mlp.hook_pre`, `hook_mlp_out` | W_in, W_out |
//! | `hook_logits` | W_U |
//! | `cells.T.hook_embed` of a GRU | W_E |
//! | the residual stream | the last of these that was added to it |
//!
//! A site behind a nonlinearity (`mlp.hook_post`, `hook_z`) has none.

use crate::{Error, Writer};
use flyroom_network::{Architecture, Network, TransformerConfig};
use flyroom_tensor::Tensor;

/// The last matrix that writes a site, if one does.
pub(crate) fn writer(network: &Network, site: &str) -> Result<Option<Writer>, Error> {
    let name = match network.architecture() {
        Architecture::Autoencoder(_) => (site == "hook_hidden").then(|| "W".to_string()),
        Architecture::Mlp(c) if c.residual && site == "hook_logits" => {
            let last = c.d_hidden.len().checked_sub(1);
            last.map(|i| format!("blocks.{i}.mlp.W_out"))
        }
        Architecture::Mlp(_) if site == "hook_logits" => Some("unembed.W_U".into()),
        Architecture::Mlp(_) => {
            site.strip_suffix("mlp.hook_pre").map(|block| format!("{block}mlp.W_in"))
        }
        Architecture::Transformer(c) => of_transformer(c, site),
        Architecture::Gru(_) if site == "hook_logits" => Some("unembed.W_U".into()),
        Architecture::Gru(_) => site.ends_with("hook_embed").then(|| "embed.W_E".into()),
    };
    let Some(name) = name else { return Ok(None) };
    let rows = by_inputs(&name, network.weight(&name)?)?;
    Ok(Some(Writer { name, rows }))
}

fn of_transformer(c: &TransformerConfig, site: &str) -> Option<String> {
    match site {
        "hook_embed" => return Some("embed.W_E".into()),
        "hook_pos_embed" => return Some("pos_embed.W_pos".into()),
        "hook_logits" => return Some("unembed.W_U".into()),
        "unembed.hook_in" => {
            return match c.n_layers.checked_sub(1) {
                Some(last) => of_transformer(c, &format!("blocks.{last}.hook_resid_post")),
                None => Some("embed.W_E".into()),
            };
        }
        _ => {}
    }
    let (layer, hook) = site.strip_prefix("blocks.")?.split_once('.')?;
    let matrix = match hook {
        "hook_resid_pre" | "hook_attn_in" => {
            return match layer.parse::<usize>().ok()?.checked_sub(1) {
                Some(before) => of_transformer(c, &format!("blocks.{before}.hook_resid_post")),
                None => Some("embed.W_E".into()),
            };
        }
        "hook_resid_post" if c.d_mlp > 0 => "mlp.W_out",
        "hook_resid_post" | "hook_resid_mid" | "hook_mlp_in" | "hook_attn_out" => "attn.W_O",
        "hook_mlp_out" => "mlp.W_out",
        "mlp.hook_pre" => "mlp.W_in",
        "attn.hook_q" => "attn.W_Q",
        "attn.hook_k" => "attn.W_K",
        "attn.hook_v" => "attn.W_V",
        _ => return None,
    };
    Some(format!("blocks.{layer}.{matrix}"))
}

/// A parameter as `[input, unit]`.
fn by_inputs(name: &str, w: &Tensor) -> Result<Tensor, Error> {
    Ok(match w.shape() {
        // The encoder of an autoencoder is [hidden, feature].
        [_, _] if name == "W" => w.transposed()?,
        // [head, d_head, unit]
        &[h, k, d] if name.ends_with("W_O") => Tensor::new(&[h * k, d], w.data().to_vec())?,
        // [head, d_model, d_head]
        &[h, d, k] => Tensor::from_fn(&[d, h * k], |i| {
            let (row, unit) = (i / (h * k), i % (h * k));
            w.data()[(unit / k * d + row) * k + unit % k]
        }),
        _ => w.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_belongs_to_whoever_wrote_last() {
        let mut c = TransformerConfig::plain(2, 8, 2, 5, 4);
        let of = |c: &TransformerConfig, site: &str| of_transformer(c, site);
        let is = |name: &str| Some(name.to_string());
        assert_eq!(of(&c, "blocks.0.hook_resid_pre"), is("embed.W_E"));
        assert_eq!(of(&c, "blocks.1.hook_resid_pre"), is("blocks.0.attn.W_O"));
        assert_eq!(of(&c, "unembed.hook_in"), is("blocks.1.attn.W_O"));
        c.d_mlp = 16;
        assert_eq!(of(&c, "unembed.hook_in"), is("blocks.1.mlp.W_out"));
        assert_eq!(of(&c, "blocks.1.hook_resid_mid"), is("blocks.1.attn.W_O"));
        for behind in ["blocks.0.mlp.hook_post", "blocks.0.attn.hook_z", "nonsense", "blocks.x.y"] {
            assert_eq!(of(&c, behind), None);
        }
    }

    #[test]
    fn heads_stand_side_by_side_where_they_are_written_and_below_each_other_where_they_write() {
        // [head 2, 2, 3]
        let w = Tensor::from_fn(&[2, 2, 3], |i| i as f32);
        let q = by_inputs("blocks.0.attn.W_Q", &w).unwrap();
        assert_eq!((q.shape(), q.row(0)), (&[2, 6][..], &[0., 1., 2., 6., 7., 8.][..]));
        let o = by_inputs("blocks.0.attn.W_O", &w).unwrap();
        assert_eq!((o.shape(), o.row(3)), (&[4, 3][..], &[9., 10., 11.][..]));
        let hidden = by_inputs("W", &Tensor::from_fn(&[2, 3], |i| i as f32)).unwrap();
        assert_eq!(hidden.row(1), [1., 4.]);
    }
}
