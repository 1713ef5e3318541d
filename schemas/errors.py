"""Every error Cradle can name: a code, a sentence for its reader, and what to do next.

A code is stable: operators alert on it and the ledger keeps it. A sentence never carries a document's path or
content, because error texts reach logs and dead-letter headers in the clear; a detail that would is sealed instead.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Family(StrEnum):
    """What an error means for the message at hand, and so what the runtime does about it."""

    PERMANENT = "permanent"  # this message can never pass: dead letter
    RETRYABLE = "retryable"  # it can pass later: the stage waits
    USAGE = "usage"  # a command or a setting is wrong: no message is at hand


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """One row of the catalogue. `sentence` and `next_step` are `str.format` templates over the error's details."""

    sentence: str
    next_step: str
    family: Family = Family.PERMANENT
    storms: bool = False
    """Many messages that fail with it at one time point at us, not at what was sent: then the stage pauses. Not so
    where a customer may rightly send a thousand such documents."""


CATALOGUE: Final[dict[str, ErrorKind]] = {
    # -- the envelope -----------------------------------------------------------------------------------------------
    "envelope.malformed": ErrorKind(
        "The record is not a Cradle message: {what}.",
        "Look at it with `cradle dlq show`; publish it again with a current client.",
    ),
    "envelope.type": ErrorKind(
        "The record says it is a {found}, but this topic carries {expected}.",
        "Publish it to the topic of its type; `cradle topics show` lists them.",
    ),
    "envelope.version": ErrorKind(
        "The record's {what} version {found} is not one that this reader knows.",
        "Upgrade the consumers, then redrive it.",
    ),
    "envelope.tampered": ErrorKind(
        "The record does not open under its job's key: its frame, headers or job were changed.",
        "Find out who published it; it cannot be recovered.",
    ),
    "envelope.invalid": ErrorKind(
        "The message breaks its schema: {what}.",
        "Compare it with schemas/json/; publish it again once it is valid.",
    ),
    "message.too-large": ErrorKind(
        "The message is {size} bytes; a record holds at most {limit}.",
        "Split it, or pass the bytes by staging.",
    ),
    # -- keys and staging -------------------------------------------------------------------------------------------
    "key.destroyed": ErrorKind(
        "The job's key was destroyed; nothing sealed under it can be read again.",
        "Ingest the documents again: an erased job stays erased.",
    ),
    "key.unknown": ErrorKind(
        "There is no key for this job.", "Check CRADLE_KEYS_URL: the key store may be another installation's."
    ),
    "staging.missing": ErrorKind(
        "A staged object is gone.",
        "Restore it and redrive the dead letter, or ingest the document again; check who else deletes from the store.",
        storms=True,
    ),
    "staging.tampered": ErrorKind(
        "A staged object does not open under its job's key.",
        "Ingest the document again; check the store's access log.",
        storms=True,
    ),
    "staging.name": ErrorKind("A staging name is malformed.", "Names are lower-case words and ids joined by '/'."),
    # -- customers, parameters, jobs --------------------------------------------------------------------------------
    "customer.unknown": ErrorKind(
        "No customer is called {customer!r}.", "Add it with `cradle customer add {customer}`."
    ),
    "customer.id": ErrorKind(
        "A customer id is 1 to 63 of a-z, 0-9 and '-'.", "Choose an id of that form, for example 'acme-gmbh'."
    ),
    "customer.invalid": ErrorKind(
        "The customer's entry is not valid: {what}.", "Correct the named fields and add it again."
    ),
    "parameters.unknown": ErrorKind(
        "Customer {customer!r} has no parameters of version {version}.",
        "List them with `cradle customer show {customer}`.",
    ),
    "parameters.invalid": ErrorKind(
        "The parameters are not valid: {what}.", "Correct the named fields and add them again."
    ),
    "job.unknown": ErrorKind("There is no job {job}.", "List the jobs with `cradle jobs`."),
    "job.closed": ErrorKind(
        "The job already has its manifest; it takes no further documents.",
        "Use a new reference for a new job.",
    ),
    "job.erased": ErrorKind("The job was erased at {when}.", "Ingest the documents again for a new job."),
    "job.empty": ErrorKind(
        "The job has no document that could be baked.",
        "`cradle job {job}` tells why each failed; ingest again.",
    ),
    "job.too-many-failed": ErrorKind(
        "More of the job's documents failed than the customer allows.",
        "`cradle dlq list --job {job}` tells why; mend the cause, then `cradle dlq redrive --job {job}`.",
    ),
    "job.over": ErrorKind(
        "The job is {state}: there is nothing left to cancel.",
        "Erase it with `cradle erase {job}`.",
    ),
    "job.cancelled": ErrorKind("The job was cancelled.", "Ingest the documents again for a new job."),
    "job.incomplete": ErrorKind(
        "The job's staged results are not whole: {what}.",
        "Check who else deletes from the staging store, then ingest the documents again.",
        storms=True,
    ),
    "job.unfinished": ErrorKind(
        "The job is not done after {seconds:g} s.",
        "It goes on by itself; wait again with `cradle wait {job}`.",
        family=Family.USAGE,
    ),
    "job.parameters": ErrorKind(
        "The job was opened with version {pinned} of the parameters.", "Use a new reference for a new job."
    ),
    "job.manifest": ErrorKind(
        "A second manifest disagrees with the first.", "A job closes once; use a new reference for a new job."
    ),
    # -- documents at admission -------------------------------------------------------------------------------------
    "source.root": ErrorKind(
        "The object lies under none of the customer's roots.",
        "Allow the root with `cradle customer add --root`, then redrive the dead letter; or move the object.",
    ),
    "source.path": ErrorKind(
        "The document's path is not a clean relative path.",
        "Use '/'-separated names without '..' or a leading '/'.",
    ),
    "source.missing": ErrorKind(
        "The object does not exist.", "Put it there; then redrive its dead letter, or ingest it."
    ),
    "source.unreadable": ErrorKind(
        "The object cannot be read.", "Correct its permissions, then redrive the dead letter."
    ),
    "source.changed": ErrorKind(
        "The file changed while it was read.", "Ingest it under a new reference once it is written."
    ),
    "source.digest": ErrorKind(
        "The object's SHA-256 is not the one its event declares.",
        "Upload it whole, then redrive the dead letter.",
    ),
    "source.too-large": ErrorKind("The document is larger than {limit} bytes.", "Split it, then ingest the pieces."),
    "source.empty": ErrorKind("The document is empty.", "Leave it out, or send the file with its content."),
    "source.scheme": ErrorKind(
        "A source of scheme {scheme!r} cannot be read.", "Use a folder, a file, or s3://bucket/prefix."
    ),
    "document.needs-ocr": ErrorKind(
        "A document of type {kind} holds pictures of text, and its job's parameters choose no engine to read them.",
        "Set `vision_config.engine`, then replay; or send a version with a text layer.",
    ),
    "document.type": ErrorKind(
        "The document is not supported: it is {kind}.", "docs/formats.md lists what is; send it as one of these."
    ),
    "document.encrypted": ErrorKind("The document is encrypted: it is {kind}.", "Send it without a password."),
    "document.costly": ErrorKind(
        "Reading the document takes more than {limit}.", "Split it, or save it anew with fewer pages or pictures."
    ),
    "document.crash": ErrorKind(
        "The program that reads documents of type {kind} died of it.", "Open and save it again, then send it."
    ),
    "sandbox.away": ErrorKind(
        "The sandbox in which documents are read cannot start a process ({kind}).",
        "Look at this machine's memory, its limit of processes, and the stage's log, which names a library that fails; "
        "the stage then goes on by itself.",
        family=Family.RETRYABLE,
    ),
    "sandbox.bare": ErrorKind(
        "This kernel has neither Landlock nor seccomp: what reads a hostile document has limits, and no walls.",
        "Run workers on Linux 5.13 or newer, and let the container runtime permit both.",
        family=Family.USAGE,
    ),
    "document.nested": ErrorKind(
        "Archives lie within archives more than {limit} deep.", "Unpack it, then ingest what it holds."
    ),
    "document.broken": ErrorKind("The document cannot be read as {kind}.", "Open and save it again, then send it."),
    "document.no-text": ErrorKind("The document holds no text.", "Leave it out, or send a version with text."),
    # -- engines ----------------------------------------------------------------------------------------------------
    "engine.busy": ErrorKind(
        "The {name} engine lacks {what} just now.",
        "It is tried again by itself; if it lasts, give the engine more of it, or run fewer workers beside it.",
        family=Family.RETRYABLE,
    ),
    "engine.unknown": ErrorKind("There is no {port} engine called {name!r}.", "Choose one of: {known}."),
    "engine.missing": ErrorKind(
        "The {name} engine needs {what}.", "Install it: pip install 'cradle[torch]'.", storms=True
    ),
    "engine.weights": ErrorKind(
        "The weights of {name} are not those that are pinned.",
        "Reinstall the package or correct the pinned revision.",
        storms=True,
    ),
    "engine.revision": ErrorKind(
        "A model of a hub needs its revision pinned, or its results could change from one day to the next.",
        "Set `revision` beside it (`embedding_config`, `vision_config`) to the model's commit, or give a local path.",
    ),
    "engine.vectors": ErrorKind(
        "The {name} engine made a vector that is not {what}.",
        "Check the model with `cradle doctor`, then redrive the dead letters.",
        storms=True,
    ),
    # -- the delivery -----------------------------------------------------------------------------------------------
    "delivery.unexpected": ErrorKind(
        "The {stage} stage failed {attempts} times with an error it does not know ({kind}).",
        "Read the log at that time, mend the cause, then redrive the dead letter.",
        storms=True,
    ),
    "delivery.killer": ErrorKind(
        "The {stage} stage's process died {strikes} times with this message alone in hand.",
        "Look for the crash in the log at that time, mend the cause, then redrive the dead letter.",
        storms=True,
    ),
    "delivery.storm": ErrorKind(
        "The {stage} stage has paused: too many of its messages fail with {failing}.",
        "Mend the cause; docs/errors.md has what {failing} means. The stage tries one message at a time and goes on "
        "once one passes. CRADLE_STORM_LIMIT=0 and a restart let it go on whatever fails.",
        family=Family.RETRYABLE,
    ),
    "letter.unknown": ErrorKind(
        "There is no dead letter {letter}.",
        "`cradle dlq list` shows them; they are kept for two weeks.",
    ),
    "letter.forged": ErrorKind(
        "The dead letter's headers do not belong to what is sealed in it.",
        "Find out who else may write to the topics of dead letters; discard it.",
    ),
    "letter.choice": ErrorKind(
        "Name either dead letters by their ids, or a filter.",
        "Use ids, or one of --job, --code, --stage, --customer.",
        family=Family.USAGE,
    ),
    "letter.readable": ErrorKind(
        "The dead letter holds a message, not a record that could not be read.",
        "`cradle dlq show {letter}` tells what it is about.",
        family=Family.USAGE,
    ),
    "delivery.isolation": ErrorKind(
        "The {stage} stage cannot start the process in which it runs suspect messages alone.",
        "Look for that process's own words in the log just before, and for its exit code.",
        family=Family.RETRYABLE,
    ),
    "delivery.broken": ErrorKind(
        "The runtime itself failed on a poll ({kind}); it is tried again.",
        "Look for the log line at that time and report it: no message is lost, and none is to blame.",
        family=Family.RETRYABLE,
    ),
    "dependency.away": ErrorKind(
        "{name} does not answer.",
        "Start it, or correct its URL; `cradle doctor` checks each dependency.",
        family=Family.RETRYABLE,
    ),
    "dependency.busy": ErrorKind(
        "{name} could not do it just now ({kind}).", "It is tried again by itself.", family=Family.RETRYABLE
    ),
    "dependency.full": ErrorKind(
        "{name} is full.",
        "Free space or raise the quota; the stage then goes on by itself.",
        family=Family.RETRYABLE,
    ),
    "dependency.refused": ErrorKind(
        "{name} refused a request: {kind}.",
        "Check its configuration and our permissions; `cradle doctor` helps.",
        family=Family.RETRYABLE,
    ),
    "group.active": ErrorKind(
        "Group {group} has consumers; Kafka moves its offsets only while it has none.",
        "Stop the stage's workers, reset, and start them again.",
    ),
    "topic.missing": ErrorKind(
        "There is no topic {topic!r}.", "Create it with `cradle topics apply`.", family=Family.RETRYABLE
    ),
    "topic.retention": ErrorKind(
        "Topic {topic!r} is kept {kept}, and topics.yaml says {wanted}.",
        "Set it with `cradle topics apply`; `--dry-run` shows all differences.",
        family=Family.USAGE,
    ),
    "topic.expiring": ErrorKind(
        "The oldest record of topic {topic!r} that the {stage} stage has not read has used up {used} of the topic's "
        "retention.",
        "Have it read before Kafka deletes it: `cradle lag` shows where it stands, docs/operating.md what to do.",
        family=Family.USAGE,
    ),
    "database.tables": ErrorKind(
        "The database lacks tables of this release.",
        "Migrate it: `cradle up` does; `cradle doctor` shows where it stands.",
        family=Family.RETRYABLE,
    ),
    # -- the flow ---------------------------------------------------------------------------------------------------
    "topology.invalid": ErrorKind(
        "topics.yaml is not valid: {what}.", "Correct the entry it names.", family=Family.USAGE
    ),
    "topology.cycle": ErrorKind(
        "The flow has a cycle: {path}.", "Let one of these stages write another topic.", family=Family.USAGE
    ),
    "topology.unread": ErrorKind(
        "Nobody reads topic {topic!r}.",
        "Add it to a stage's `reads`, mark it `reserved: true`, or delete it.",
        family=Family.USAGE,
    ),
    "topology.unwritten": ErrorKind(
        "Nobody writes topic {topic!r}, which stage {stage!r} reads.",
        "Add it to a stage's `writes`, or state its `origin`.",
        family=Family.USAGE,
    ),
    "topology.no-folder": ErrorKind(
        "Stage {stage!r} has no folder.", "Add consumers/{stage}/ with a `stage` function.", family=Family.USAGE
    ),
    "topology.unknown-topic": ErrorKind(
        "Stage {stage!r} names topic {topic!r}, which is not declared.", "Declare it.", family=Family.USAGE
    ),
    "topology.partitions": ErrorKind(
        "Topic {topic!r} has {found} partitions; {wanted} were asked for, and Kafka cannot remove any.",
        "Raise `partitions` in topics.yaml, or make a new topic.",
        family=Family.USAGE,
    ),
    # -- replay and proof -------------------------------------------------------------------------------------------
    "replay.choice": ErrorKind(
        "A replay names what is to be replayed: {what}.",
        "Add --job, --customer, --document, --since, --until or --offset PARTITION:FROM[-TO].",
        family=Family.USAGE,
    ),
    "replay.topic": ErrorKind(
        "Nothing can be replayed from topic {topic!r}.", "Choose one of: {known}.", family=Family.USAGE
    ),
    "replay.nothing": ErrorKind(
        "Nothing in topic {topic!r} matches.",
        "`cradle jobs` lists the jobs; what belongs to erased ones cannot be read.",
        family=Family.USAGE,
    ),
    "replay.unfinished": ErrorKind(
        "Job {job} is {state}; a job is replayed once it has finished.",
        "Wait for it with `cradle wait {job}`; of a replay that failed, replay its parent again.",
        family=Family.USAGE,
    ),
    "replay.parameters": ErrorKind(
        "The new parameters change {fields}, which matters before topic {topic!r}.",
        "Replay from {works!r} or a topic before it.",
        family=Family.USAGE,
    ),
    "replay.stages": ErrorKind(
        "Since the job, what {stages} would make has changed, which matters before topic {topic!r}.",
        "Replay from {works!r} or a topic before it.",
        family=Family.USAGE,
    ),
    "replay.mixed": ErrorKind(
        "{documents} documents would keep results that the new fingerprint does not make.",
        "Replay the whole job from {works!r} or a topic before it; of a replay, replay its parent.",
        family=Family.USAGE,
    ),
    "replay.gone": ErrorKind(
        "Topic {topic!r} no longer holds all that {documents} of the job's documents need.",
        "Replay from a later topic, replay the others with --document, or ingest the documents again.",
        family=Family.USAGE,
    ),
    "verify.unbaked": ErrorKind(
        "Job {job} is {state}: there is no result to prove.",
        "Wait for its image with `cradle wait {job}`.",
        family=Family.USAGE,
    ),
    "verify.nothing": ErrorKind(
        "Neither the parts of job {job} nor its image can be read.",
        "Its parts go with its key. Verify where its image stands, under the CRADLE_HOME that baked it.",
        family=Family.USAGE,
    ),
    # -- where a stage reads on -------------------------------------------------------------------------------------
    "offsets.target": ErrorKind(
        "The place to read on from is not understood.",
        "Say `earliest`, `latest`, an offset, or a time as 2026-01-31T12:00.",
        family=Family.USAGE,
    ),
    "offsets.topic": ErrorKind(
        "Stage {group} reads no such partition.", "It reads the topics: {known}.", family=Family.USAGE
    ),
    # -- the services -----------------------------------------------------------------------------------------------
    "request.invalid": ErrorKind("The request is not as it should be.", "/openapi.json tells how it should be."),
    "request.type": ErrorKind("A body of this content type is not read here.", "Send {known}."),
    "request.size": ErrorKind("The request has more than {limit}.", "Send it in parts."),
    "request.tokens": ErrorKind(
        "Text {number} has {found} tokens, and the model reads {limit}.",
        'Shorten it, or send "truncate": true.',
    ),
    "request.token-ids": ErrorKind(
        "The texts were sent as token ids, which mean something else to each model.",
        "Send the texts themselves.",
    ),
    "request.model": ErrorKind("This service runs another model.", "Ask for {model!r}, or leave the name out."),
    "request.prompt": ErrorKind("The model has no prompt of that name.", "Use one of: {known}."),
    "request.dimensions": ErrorKind(
        "The model makes vectors of {dimension} numbers, no shorter ones.",
        "Leave `dimensions` out.",
    ),
    "request.token": ErrorKind(
        "The request lacks the service's token.",
        "Send `Authorization: Bearer TOKEN`; the token is what the service has as CRADLE_SERVICE_TOKEN.",
    ),
    "request.road": ErrorKind("There is no such road.", "/openapi.json lists those there are."),
    "request.method": ErrorKind("This road is not taken so.", "/openapi.json tells how it is."),
    "request.unread": ErrorKind("The request did not arrive whole.", "Send it again."),
    "service.full": ErrorKind(
        "As much is waiting already as may.", "Send it again in {seconds} s.", family=Family.RETRYABLE
    ),
    "service.late": ErrorKind(
        "The engine did not come to it within {seconds:g} s.",
        "Send it again later, in smaller parts, or with more time.",
        family=Family.RETRYABLE,
    ),
    "service.stopping": ErrorKind("The service is stopping.", "Send it again.", family=Family.RETRYABLE),
    "service.engine": ErrorKind(
        "The engine cannot be loaded ({kind}).", "Check it with `cradle doctor`.", family=Family.RETRYABLE
    ),
    "service.unwell": ErrorKind(
        "The engine just failed at a trial: {failing}.",
        "docs/errors.md tells what that means; look into the service's log.",
        family=Family.RETRYABLE,
    ),
    "service.input": ErrorKind(
        "The engine failed on this input ({kind}).",
        "/health tells whether the engine is well; if it is, leave this input out.",
        family=Family.PERMANENT,
    ),
    "service.failed": ErrorKind(
        "The service failed ({kind}).", "Its log says where; report it.", family=Family.RETRYABLE
    ),
    "service.address": ErrorKind(
        "It cannot answer on port {port} of {host}.",
        "Another program may have that port: choose one with --port.",
        family=Family.USAGE,
    ),
    "service.open": ErrorKind(
        "Without a token it would answer anybody who reaches {host}.",
        "Set CRADLE_SERVICE_TOKEN; or say --open, where only those who may ask can reach it.",
        family=Family.USAGE,
    ),
    # -- settings and wrong use -------------------------------------------------------------------------------------
    "settings.invalid": ErrorKind(
        "A setting is not valid: {what}.", "`cradle doctor --settings` shows where each came from.", family=Family.USAGE
    ),
    "settings.scheme": ErrorKind(
        "No {port} adapter opens {scheme!r}.",
        "Use one of: {known}; the setting is CRADLE_{setting}.",
        family=Family.USAGE,
    ),
    "stack.down": ErrorKind(
        "No broker or database is set, and the embedded ones were never started.",
        "Start them with `cradle up`, or set CRADLE_BROKER_URL and its companions.",
        family=Family.USAGE,
    ),
    "workers.crashed": ErrorKind(
        "Consumers crashed more than {limit} times in ten minutes; all were stopped.",
        "Read the log above for the cause, then run `cradle run --all` again.",
        family=Family.USAGE,
    ),
    "stage.unknown": ErrorKind("There is no stage {stage!r}.", "Choose one of: {known}.", family=Family.USAGE),
    "service.start": ErrorKind("{name} did not start or stop in time.", "Read its log: {log}", family=Family.USAGE),
    "service.missing": ErrorKind("{name} needs {what}.", "Install it: {how}.", family=Family.USAGE),
    "image.unknown": ErrorKind(
        "There is no image for {name!r}.", "`cradle jobs` lists what has been baked.", family=Family.USAGE
    ),
    "image.broken": ErrorKind(
        "The image is not one of ours or is damaged: {what}.", "Bake the job again.", family=Family.USAGE
    ),
    "image.thin": ErrorKind(
        "This is an update without the layers of the versions that it extends.",
        "Ask the customer's engine, which has them; or a version made by a full job.",
        family=Family.USAGE,
    ),
    # -- versions, packages, the archive ------------------------------------------------------------------------------
    "version.name": ErrorKind(
        "No version is called {name!r}.", "A version is v1.0 or v1.0-init; `cradle versions CUSTOMER` lists them."
    ),
    "version.unknown": ErrorKind(
        "Customer {customer!r} has no version {version}.", "`cradle versions {customer}` lists what it has."
    ),
    "version.taken": ErrorKind(
        "Another job of the customer became {version} while this one was packaged.",
        "Package it again: it becomes the version after that.",
    ),
    "version.unarchived": ErrorKind(
        "There is no copy of {version}: customer {customer!r} had no age recipient when it was packaged.",
        "Ask the customer for the package's image.tar, which is all there is of it. "
        "`cradle customer add {customer} --recipient age1...` archives the versions to come.",
    ),
    "version.superseded": ErrorKind(
        "The update was made over {extends}, and {newest} is newer.",
        "Ingest it again with --update, under another reference: it then lies over {newest}.",
    ),
    "update.nothing": ErrorKind(
        "Customer {customer!r} has no version that could be updated.",
        "Ingest everything without --update, and package the job.",
    ),
    "update.parameters": ErrorKind(
        "An update keeps the parameters of the version it lies over ({version}); changed parameters need a full job.",
        "Leave out --parameters; or ingest all documents again without --update.",
    ),
    "update.disagrees": ErrorKind(
        "The job's events disagree whether it is an update.",
        "Say `update` in every event of the job or in none; use a new reference for a new job.",
    ),
    "update.needed": ErrorKind(
        "Only an update removes documents, and it needs a source or something to remove.",
        "Say --update; add a SOURCE, or --remove PATH.",
        family=Family.USAGE,
    ),
    "update.stages": ErrorKind(
        "Since version {version}, what {stages} would make has changed; an update would mix the two.",
        "Ingest all documents again without --update.",
    ),
    "update.format": ErrorKind(
        "Version {version} has data layers of another format than this release writes.",
        "Ingest all documents again without --update.",
    ),
    "package.unbaked": ErrorKind(
        "The job is {state}; a package is made of a baked one.",
        "`cradle job {job}` tells how it stands.",
        family=Family.PERMANENT,
    ),
    "package.nothing": ErrorKind(
        "Customer {customer!r} has no baked job.", "`cradle jobs --customer {customer}` lists what it has."
    ),
    "package.recipient": ErrorKind(
        "The customer's age recipient is not one.",
        "Set it again with `cradle customer add CUSTOMER --recipient age1...`.",
    ),
    "package.letter": ErrorKind(
        "That letter tells of {what}, and there is none.",
        "`cradle jobs` and `cradle versions CUSTOMER` list what there is.",
        family=Family.PERMANENT,
    ),
    "package.target": ErrorKind(
        "The package cannot be put there: {what}.",
        "It stands under CRADLE_HOME/packages; name another folder or bucket in --to.",
        family=Family.USAGE,
    ),
    "signing.key": ErrorKind(
        "The signing key is no Ed25519 key, or cannot be read.",
        "CRADLE_SIGNING_KEY names a PEM file without a password: `openssl genpkey -algorithm ed25519 -out KEY`.",
        family=Family.USAGE,
    ),
    "archive.exists": ErrorKind(
        "The archive has {name} already, and nothing in it is ever replaced.", "Nothing is to be done."
    ),
    "archive.missing": ErrorKind(
        "The archive has no {name}.", "`cradle versions CUSTOMER` lists what it has; check CRADLE_ARCHIVE_URL."
    ),
    "archive.name": ErrorKind(
        "An archived object is versions/<customer>/<version>, as .oci.age or .json.", "Name it so."
    ),
    "archive.unlocked": ErrorKind(
        "The archive's bucket does not lock what is written there: who has our credentials could delete it.",
        "Make a bucket with object lock; give it a default retention, or add &lock_days=3650 to CRADLE_ARCHIVE_URL.",
        family=Family.PERMANENT,
    ),
    "archive.damaged": ErrorKind(
        "{name} in the archive is not what was written there.",
        "Restore it from the copy that the customer has; find out who else may write to the archive.",
    ),
}


class CradleError(Exception):
    """An error with a code of the catalogue. `str()` gives its sentence, `next_step` what to do.

    Raises KeyError if `code` is not in the catalogue or a detail of its templates is missing: a mistake of ours.
    """

    def __init__(self, code: str, **details: object) -> None:
        kind = CATALOGUE[code]
        self.code = code
        self.sentence = kind.sentence.format(**details)
        self.next_step = kind.next_step.format(**details)
        self.details = details
        super().__init__(self.sentence)

    def __reduce__(self) -> tuple[object, ...]:
        """Errors travel between our own processes; made anew by their code they would want their details again."""
        return _made_again, (type(self), self.code, self.sentence, self.next_step, self.details)


def _made_again(
    kind: type[CradleError], code: str, sentence: str, next_step: str, details: dict[str, object]
) -> CradleError:
    error = kind.__new__(kind, sentence)
    error.code, error.sentence, error.next_step, error.details = code, sentence, next_step, details
    return error


class Permanent(CradleError):
    """This message can never pass, however often it is tried: a dead letter at once."""


class Retryable(CradleError):
    """A dependency is away. The stage pauses and resumes by itself; no message is blamed."""
