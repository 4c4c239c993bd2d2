//! Does a network hold the factors of its data, and answer from them?
//!
//! *Measures*, on a network that was trained to predict a process whose hidden state is made of known factors
//! ([`flyroom_organism::Factor`]): how well a linear read-out of its residual stream gives the exact marginal of each factor,
//! and whether exchanging the plane of one factor between two histories moves the prediction as Bayes says of a belief with that
//! marginal exchanged and all else kept.
//! *Intuition*: a network needs a factor where the next token depends on it, and nowhere else; so each is
//! read where it is *asked*. One that is never asked is idle; it is read wherever it means something (Shai et al. 2024, arXiv
//! 2405.15943, for beliefs that are not taken apart).
//!
//! *Nulls of the read-out*, by R^2 on histories to which nothing was fitted: the network before its first step, at the same
//! site; how often each token was seen so far (a bag of words); which token stood how many places back (the
//! history); the specimen with marginals that changed places.
//! *Null of the exchange*: random planes of as many dimensions. *Control*: the plane of an idle factor, claimed
//! to be one that is asked.

mod exchange;
mod places;

use crate::Error;
use crate::beliefs::{LatentBeliefs, Samples, log10, samples, untrained};
use exchange::Exchange;
use flyroom_decompose::Dictionary;
use flyroom_network::Runner;
use flyroom_organism::{Process, Specimen};
use flyroom_tensor::{Context, Tensor};
use places::{Ground, Places};
use serde::{Deserialize, Serialize};

/// How well one factor is read, by R^2 on tested histories.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReadFactor {
    /// Its name.
    pub name: String,
    /// Whether the next token ever depends on it.
    pub asked: bool,
    /// Places of tested histories at which it is read.
    pub places: usize,
    /// Variance of its marginal there, in the mean over values.
    pub variance: f64,
    /// Of the specimen, site by site.
    pub trained: Vec<(String, f64)>,
    /// Of the same network before its first step.
    pub untrained: Vec<(String, f64)>,
    /// Of the specimen at the last site, marginals having changed places.
    pub shuffled: f64,
    /// Of how often each token was seen.
    pub bag: f64,
    /// Of which token stood how many places back.
    pub history: f64,
}

/// What exchanging the plane of one factor behind the last layer does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExchangedFactor {
    /// Its name.
    pub name: String,
    /// Dimensions of its plane.
    pub dims: usize,
    /// Pairs of histories that end where it is asked.
    pub pairs: usize,
    /// Total variation between P(next) and P(next | its marginal exchanged), in the mean: what is due.
    pub due: f64,
    /// Share of the way from the old prediction to the one that Bayes asks for.
    pub moved: f64,
    /// The same of random planes.
    pub random: f64,
    /// Total variation between the predictions before and behind where another factor is asked and this one is
    /// not, so that nothing is due.
    pub elsewhere: f64,
}

/// A wrong claim: that an idle factor is one that is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Misnamed {
    /// Whose plane is exchanged.
    pub idle: String,
    /// Whose marginal the donor's is put in the place of.
    pub claimed: String,
    /// Share of the way to what that claims.
    pub moved: f64,
}

/// Whether a network holds the factors of its process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FactorScore {
    /// Read-outs.
    pub read: Vec<ReadFactor>,
    /// Exchanges of those that are asked.
    pub exchanged: Vec<ExchangedFactor>,
    /// Wrong claims.
    pub misnamed: Vec<Misnamed>,
    /// Runs with interventions.
    pub runs: usize,
}

/// Scores a specimen that was trained to predict a process with factors.
pub fn factors(specimen: &Specimen, process: &Process, cx: &Context) -> Result<FactorScore, Error> {
    let Some(config) = specimen.network.architecture().transformer() else {
        return Err(Error::Trial("only a transformer reads histories".into()));
    };
    let sites: Vec<String> =
        (0..config.n_layers).map(|i| format!("blocks.{i}.hook_resid_post")).collect();
    let ground = Ground::new(process, config.n_ctx)?;
    let trained = ground.activations(&specimen.network, &sites, cx)?;
    let before = ground.activations(&untrained(specimen, cx)?, &sites, cx)?;
    let (bag, history) = (ground.bag(), ground.history());
    let mut read = vec![];
    let mut planes = vec![];
    for places in &ground.factors {
        let r2 = |x: &Samples| Ok::<_, Error>(places.r2(places.read(x)?.0));
        let each = |all: &[Samples]| -> Result<Vec<(String, f64)>, Error> {
            sites.iter().zip(all).map(|(site, x)| Ok((site.clone(), r2(x)?))).collect()
        };
        let Some(last) = trained.last() else { continue };
        planes.push(places.read(last)?.1);
        read.push(ReadFactor {
            name: places.factor.name.clone(),
            asked: places.asked,
            places: places.at.len() - places.fitted,
            variance: places.variance(),
            trained: each(&trained)?,
            untrained: each(&before)?,
            shuffled: places.r2(places.shuffled().read(last)?.0),
            bag: r2(&bag)?,
            history: r2(&history)?,
        });
    }
    let site = sites.last().map_or("", String::as_str);
    let exchange = Exchange::new(&ground, &specimen.network, site, cx)?;
    let mut exchanged = vec![];
    let mut misnamed = vec![];
    for (places, plane) in ground.factors.iter().zip(&planes) {
        if places.asked {
            exchanged.push(exchange.factor(places.factor, plane)?);
            continue;
        }
        for other in ground.factors.iter().filter(|o| o.asked) {
            if other.factor.values.len() == places.factor.values.len() {
                let moved = exchange.moved(other.factor, places.factor, plane)?;
                let names = [places.factor, other.factor].map(|f| f.name.clone());
                let [idle, claimed] = names;
                misnamed.push(Misnamed { idle, claimed, moved });
            }
        }
    }
    Ok(FactorScore { read, exchanged, misnamed, runs: exchange.runs.get() })
}

/// How well the latents of a dictionary give the factors, each where it is asked, in decades below the error of the history, in
/// the mean over factors.
pub(crate) fn latents(
    specimen: &Specimen,
    process: &Process,
    dictionary: &Dictionary,
    pos: usize,
    cx: &Context,
) -> Result<Result<LatentBeliefs, &'static str>, Error> {
    let ground = Ground::new(process, pos)?;
    let site = [dictionary.site.clone()];
    let runner = Runner::new(&specimen.network, &ground.inputs, cx)?;
    let x = runner.clean(&dictionary.site)?;
    let count = ground.inputs.len() * pos;
    if x.shape() != [ground.inputs.len(), pos, dictionary.d_in()] {
        return Ok(Err("its latents are not those of one vector at each position"));
    }
    let flat = Tensor::new(&[count, dictionary.d_in()], x.data().to_vec())?;
    let z = samples(&dictionary.encode(&flat, cx)?);
    let before = ground.activations(&untrained(specimen, cx)?, &site, cx)?;
    let (x, history) = (samples(&x), ground.history());
    let mut out = LatentBeliefs { score: 0.0, null: 0.0, oracle: 0.0 };
    let asked: Vec<&Places> = ground.factors.iter().filter(|p| p.asked).collect();
    for places in &asked {
        let least = places.read(&history)?.0;
        let score =
            |x: &Samples| Ok::<_, Error>(log10(least / places.read(x)?.0) / asked.len() as f64);
        out.score += score(&z)?;
        out.oracle += score(&x)?;
        for x in &before {
            out.null += score(x)?;
        }
    }
    Ok(Ok(out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyroom_organism::{find, train::Nursery, with_defaults};
    use serde_json::json;

    #[test]
    fn marginals_themselves_are_read_exactly_and_not_when_they_changed_places() {
        let stories = find("stories-mini").unwrap();
        let set = json!({ "steps": 0, "context": 4 });
        let parameters = with_defaults(stories, set.as_object().unwrap()).unwrap();
        let cx = Context::single();
        let bred = stories.breed(&parameters, 0, &cx, &Nursery::none()).unwrap();
        let process = bred.truth.process.unwrap();
        let ground = Ground::new(&process, 4).unwrap();
        assert_eq!(ground.factors.len(), 5);
        for places in &ground.factors {
            assert_eq!(places.asked, places.factor.name != "place");
            // The marginal, and a coordinate that says nothing.
            let width = places.factor.values.len() + 1;
            let mut values = vec![0.0; ground.inputs.len() * 4 * width];
            for (&at, marginal) in places.at.iter().zip(&places.marginals) {
                values[at * width..][..width - 1].copy_from_slice(marginal);
                values[at * width + width - 1] = 1.0;
            }
            let x = Samples { width, values };
            let (error, plane) = places.read(&x).unwrap();
            assert!(places.r2(error) > 0.9999, "{}: {error}", places.factor.name);
            // Chances sum to 1.
            assert_eq!(plane.len() / width, width - 2);
            let (error, _) = places.shuffled().read(&x).unwrap();
            assert!(places.r2(error) < 0.05, "{}: {error}", places.factor.name);
        }
    }
}
