//! What can be written on the command line.

use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Model organisms for interpretability: breed them, take them apart, say how they work, and put
/// what was said on trial.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, disable_help_subcommand = true)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Threads; changes no bit of any result [default: all cores].
    #[arg(long, global = true, value_name = "N", allow_negative_numbers = true)]
    pub threads: Option<usize>,
    /// Instructions to use: auto, portable, avx2, avx512 or neon; changes no bit of any result.
    #[arg(long, global = true, default_value = "auto", value_name = "KERNELS")]
    pub kernels: String,
    /// No progress and no remarks.
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what there is: organisms, methods, metrics or frozen sets.
    List {
        /// Which of them [default: all].
        what: Option<Registry>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Breed specimens of an organism; goes on where it was stopped.
    Breed {
        /// Name of the organism (`flyroom list organisms`) or of a frozen set (`flyroom list sets`), or
        /// FILE.rasp: a program of your own, or FILE.toml: a network of your own, to be trained.
        organism: String,
        /// Seeds, end exclusive: 0..5 are five, 3..4 is seed 3.
        #[arg(long, default_value = "0..1", allow_hyphen_values = true)]
        seeds: String,
        /// Set a parameter: --set steps=2000.
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
        /// Instead of the specimens: how often each value of a measured word comes, also untrained.
        #[arg(long, value_name = "KEY")]
        tally: Option<String>,
        /// Folder for the specimens.
        #[arg(long, default_value = "specimens")]
        out: PathBuf,
        /// How progress is told on stderr.
        #[arg(long, default_value = "bar", value_name = "FORM")]
        progress: Progress,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Draw a phase diagram: what is measured over one or two parameters, every seed, beside the
    /// same networks untrained.
    Phases {
        /// Name of the organism, or FILE.rasp, or FILE.toml.
        organism: String,
        /// A parameter and its values: --over d_model=32,64,128. Once for a curve, twice for a field.
        #[arg(long, value_name = "KEY=A,B,C", required = true)]
        over: Vec<String>,
        /// What is drawn: a number that is measured, or METRIC=WORD, the share of seeds with that word.
        #[arg(long, value_name = "METRIC")]
        measure: String,
        /// Seeds, end exclusive.
        #[arg(long, default_value = "0..5", allow_hyphen_values = true)]
        seeds: String,
        /// Set a parameter: --set steps=2000.
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
        /// Folder for the specimens, phases.svg and phases.csv; specimens that are there are not bred again.
        #[arg(long, default_value = "phases")]
        out: PathBuf,
        /// How progress is told on stderr.
        #[arg(long, default_value = "bar", value_name = "FORM")]
        progress: Progress,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Follow trainings by what is located in the finished specimens: progress measures, and when they
    /// moved, beside parts drawn at random.
    Progress {
        /// Name of the organism; `flyroom show progress` says of which it is.
        organism: String,
        /// Seeds, end exclusive.
        #[arg(long, default_value = "0..1", allow_hyphen_values = true)]
        seeds: String,
        /// Set a parameter: --set steps=2000.
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
        /// Steps between looks [default: a sixtieth of the training].
        #[arg(long, value_name = "STEPS", allow_negative_numbers = true)]
        every: Option<usize>,
        /// How far a number has to come to have moved [default: the organism's].
        #[arg(long, value_name = "X", allow_negative_numbers = true)]
        by: Option<f64>,
        /// Folder for the specimens, progress.csv and a picture of each seed; what is there must come out
        /// again bit for bit.
        #[arg(long, default_value = "progress")]
        out: PathBuf,
        /// How progress is told on stderr.
        #[arg(long, default_value = "bar", value_name = "FORM")]
        progress: Progress,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Check the truth about a specimen by interventions; exit code 1 if a claim does not hold.
    Audit {
        /// Folder of the specimen, with its truth beside it.
        specimen: PathBuf,
        /// Longest inputs, in tokens behind BOS [default: the task's own].
        #[arg(long, value_name = "N", allow_negative_numbers = true)]
        length: Option<usize>,
        /// How far numbers may be apart, as a share of the largest that counts.
        #[arg(long, value_name = "X", default_value_t = 0.001, allow_negative_numbers = true)]
        within: f64,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take activations of a specimen apart (step 1).
    Decompose {
        /// Folder of the specimen.
        specimen: PathBuf,
        /// Name of the method (`flyroom list methods`).
        #[arg(long)]
        method: String,
        /// Site, as TransformerLens writes it [default: chosen by architecture].
        #[arg(long)]
        site: Option<String>,
        /// Set a parameter.
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
        /// Seed of the method.
        #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
        seed: u64,
        /// Folder for the dictionary, in SAELens' form.
        #[arg(long)]
        out: PathBuf,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say what the parts of a specimen do and how they are wired (step 2).
    Describe {
        /// Folder of the specimen.
        specimen: PathBuf,
        /// Name of the method (`flyroom list methods`).
        #[arg(long)]
        method: String,
        /// Folder of a dictionary whose parts are to be described.
        #[arg(long)]
        parts: Option<PathBuf>,
        /// Set a parameter.
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
        /// Seed of the method.
        #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
        seed: u64,
        /// File for the explanation.
        #[arg(long)]
        out: PathBuf,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Put an explanation or a dictionary on trial (step 3): prints and writes the card.
    Validate {
        /// Folder of the specimen, with its truth beside it.
        specimen: PathBuf,
        /// explanation.json, a circuit in MIB's form (JSON, .pt), or a dictionary: its folder (SAELens,
        /// sparsify) or the safetensors of its weights alone.
        explanation: PathBuf,
        /// Where a dictionary without cfg.json reads.
        #[arg(long)]
        site: Option<String>,
        /// How a dictionary without cfg.json makes latents: relu, topk:K, linear.
        #[arg(long, value_name = "FORM")]
        activation: Option<String>,
        /// File for the card [default: card.json beside what is on trial; card-2.json, ... where others
        /// lie there].
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Run a plan: breed, decompose, describe, validate, rank; goes on where it was stopped.
    Run {
        /// The plan in TOML, or `first-look`, `crash-test` or `flyroom-6`, which need no file [default: first-look].
        plan: Option<PathBuf>,
        /// Folder of the run [default: runs/NAME-OF-THE-PLAN].
        #[arg(long)]
        out: Option<PathBuf>,
        /// How progress is told on stderr.
        #[arg(long, default_value = "bar", value_name = "FORM")]
        progress: Progress,
        /// The board as JSON instead of tables.
        #[arg(long)]
        json: bool,
    },
    /// Breed a specimen that nobody has seen, or score the one submission about it.
    Exam {
        /// Name of the organism (`flyroom list organisms`).
        organism: String,
        /// Seed of the specimen [default: drawn, and told to nobody].
        #[arg(long, allow_negative_numbers = true)]
        seed: Option<u64>,
        /// Set a parameter.
        #[arg(long, value_name = "KEY=VALUE", conflicts_with = "submit")]
        set: Vec<String>,
        /// Folder for the specimen, without its truth.
        #[arg(long, required_unless_present = "submit", conflicts_with = "submit")]
        out: Option<PathBuf>,
        /// What is submitted: all that `flyroom validate` takes.
        #[arg(long, value_name = "FILE", requires = "specimen", conflicts_with = "seed")]
        submit: Option<PathBuf>,
        /// Folder of the specimen that it is about.
        #[arg(long, value_name = "DIR", requires = "submit")]
        specimen: Option<PathBuf>,
        /// Folder for what only the examiner may see [default: exams, beside the specimen].
        #[arg(long, value_name = "DIR")]
        apart: Option<PathBuf>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Run one cell of a plan, and before it what it needs: for array jobs.
    Cell {
        /// The plan in TOML, or `first-look`, `crash-test` or `flyroom-6`, which need no file [default: first-look].
        #[arg(long)]
        plan: Option<PathBuf>,
        /// Number of the cell, from 0 (`--list` shows them).
        #[arg(
            long,
            required_unless_present = "list",
            value_name = "N",
            allow_negative_numbers = true
        )]
        index: Option<usize>,
        /// Show all cells instead: level by level, with what they need and whether they are there.
        #[arg(long, conflicts_with = "index")]
        list: bool,
        /// Compute the cell although it is there, and compare the two contents.
        #[arg(long, conflicts_with = "list")]
        again: bool,
        /// Folder of the run [default: runs/NAME-OF-THE-PLAN].
        #[arg(long)]
        out: Option<PathBuf>,
        /// How progress is told on stderr.
        #[arg(long, default_value = "bar", value_name = "FORM")]
        progress: Progress,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write a specimen, a dictionary or a circuit in the form of another tool.
    Export {
        /// Folder of the specimen.
        specimen: PathBuf,
        /// For whom.
        #[arg(long = "for", value_name = "FORM")]
        form: Form,
        /// The dictionary (saelens, sparsify) or the explanation or description (mib) to write.
        #[arg(long, value_name = "PATH")]
        from: Option<PathBuf>,
        /// Site whose clean activations are written (npz), or at which the dictionary lies (saelens).
        #[arg(long)]
        site: Vec<String>,
        /// File (npz, mib) or folder for it.
        #[arg(long)]
        out: PathBuf,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Bring runs of one plan together: cells, truths and ledgers; then write the board.
    Collect {
        /// Folders of the runs.
        #[arg(required = true, value_name = "RUN")]
        runs: Vec<PathBuf>,
        /// Folder to bring them together in [default: the first of them].
        #[arg(long)]
        out: Option<PathBuf>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove from a run what its plan does not need.
    Gc {
        /// Folder of the run.
        run: PathBuf,
        /// Only say what would go.
        #[arg(long)]
        dry_run: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write the page and the tables of a run once more.
    Report {
        /// Folder of the run.
        run: PathBuf,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Compare how methods rank on a run's organisms with how they rank on public benchmarks.
    Transfer {
        /// Folder of a run that ended.
        run: PathBuf,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show what lies at a path, where a row of a run comes from, or what a name means; ask a
    /// language model or a RASP program.
    Show {
        /// A specimen, dictionary, explanation, card, run or FILE.rasp; or the name of an organism, a
        /// method, a metric, a page or a word. With --prompt a specimen, a Hugging Face folder, a GGUF
        /// file, or FILE.rasp.
        what: PathBuf,
        /// Of a run: a row by its id, or an organism or a method by its name.
        #[arg(value_name = "ROW")]
        row: Option<String>,
        /// Of a run: what its processes did and how long it took.
        #[arg(long, conflicts_with = "row")]
        ledger: bool,
        #[command(flatten)]
        ask: Ask,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Bring a network from a file, as a specimen.
    Import {
        #[arg(help = kinds())]
        kind: String,
        /// The file or folder.
        path: PathBuf,
        /// Put a compiled network into a random gauge with this seed.
        #[arg(long, value_name = "SEED")]
        rotated: Option<u64>,
        /// Organism whose task judges a network under TransformerLens' names.
        #[arg(long, value_name = "NAME")]
        organism: Option<String>,
        /// How its matrices lie where shapes do not say: in-out (as TransformerLens) or out-in.
        #[arg(long)]
        layout: Option<String>,
        /// Set a parameter of that organism.
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
        #[command(flatten)]
        asked: Asked,
        /// Folder for the specimens.
        #[arg(long, default_value = "specimens")]
        out: PathBuf,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// The kinds of files that can be brought in, from the registry.
fn kinds() -> String {
    let kinds = flyroom_organism::import::KINDS.iter();
    let lines: Vec<String> = kinds.map(|k| format!("- {}: {}", k.name, k.path)).collect();
    format!("What kind of file it is:\n{}", lines.join("\n"))
}

/// What a language model says next.
#[derive(Debug, clap::Args)]
pub struct Ask {
    /// Show what a language model says behind this text, or every step of a RASP program on these
    /// tokens.
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// Go on with the likeliest token so many times.
    #[arg(long, value_name = "N", requires = "prompt")]
    pub generate: Option<usize>,
    /// So many of the likeliest next tokens.
    #[arg(long, value_name = "N", requires = "prompt", default_value_t = 10)]
    pub top: usize,
    /// Where its tokenizer lies, if not with the model.
    #[arg(long, value_name = "PATH", requires = "prompt")]
    pub tokenizer: Option<PathBuf>,
}

/// The prompts on which an imported language model is judged.
#[derive(Debug, clap::Args)]
pub struct Asked {
    /// A prompt for a language model; several have one length in tokens.
    #[arg(long, value_name = "TEXT")]
    pub prompt: Vec<String>,
    /// A file of prompts, one a line.
    #[arg(long, value_name = "FILE")]
    pub prompts: Option<PathBuf>,
    /// A folder with templates and words of sentences that want an indirect object.
    #[arg(long, value_name = "DIR")]
    pub indirect_objects: Option<PathBuf>,
    /// How many of these sentences [default: 16].
    #[arg(long, value_name = "N")]
    pub count: Option<usize>,
}

/// How progress is told.
#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
pub enum Progress {
    /// A bar, where stderr is a terminal.
    Bar,
    /// One JSON object a line.
    Json,
}

/// The three registries.
#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
pub enum Registry {
    /// Organisms.
    Organisms,
    /// Methods of both steps.
    Methods,
    /// Metrics of the board.
    Metrics,
    /// Sets of specimens frozen by hash.
    Sets,
}

impl Registry {
    /// All of them, with their names.
    pub const ALL: [(Self, &str); 4] = [
        (Self::Organisms, "organisms"),
        (Self::Methods, "methods"),
        (Self::Metrics, "metrics"),
        (Self::Sets, "sets"),
    ];
}

/// The forms of other tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// A folder: the config and the state dict of a HookedTransformer.
    TransformerLens,
    /// A file: weights, inputs and activations for numpy.
    Npz,
    /// A folder: a dictionary.
    Saelens,
    /// A folder: a TopK dictionary.
    Sparsify,
    /// A file: a circuit as JSON.
    Mib,
}

impl std::fmt::Display for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(match self {
            Self::TransformerLens => "transformer-lens",
            Self::Npz => "npz",
            Self::Saelens => "saelens",
            Self::Sparsify => "sparsify",
            Self::Mib => "mib",
        })
    }
}
