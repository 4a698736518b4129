package repository

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/encryption"
	"github.com/kopia/kopia/repo/format"
	"github.com/kopia/kopia/repo/hashing"
	"github.com/kopia/kopia/repo/maintenance"
	"github.com/kopia/kopia/repo/splitter"

	"github.com/podkeep/podkeep/internal/wire"
)

// markerBlob tells Velero 1.18 that a repository is complete. Its uniqueID is
// that of the repository (velero-facts §4.1).
const markerBlob blob.ID = "udmrepo.Repository"

const maxPackSizeBytes = 20 << 20

type marker struct {
	UniqueID []byte `json:"uniqueID"`
}

// phase is a row of velero-facts §4.5.
type phase int

const (
	notCreated     phase = iota // no repository
	notInitialized              // a repository that lacks Velero's marker
	created
	corrupted
)

type state struct {
	phase    phase
	detail   string // why it is corrupted
	uniqueID []byte // "" unless created or notInitialized
}

// Ensure makes sure that the repository exists and opens with the password. It
// creates it where there is none, and completes one that Velero 1.16 or 1.17
// made. It never writes to a read-only location, and creates nothing where other
// data is.
func Ensure(ctx context.Context, r wire.Repository) error {
	storage, err := newStorage(ctx, r, !r.Location.ReadOnly)
	if err != nil {
		return err
	}
	if err := ensure(ctx, storage, r); err != nil {
		return errors.Join(err, storage.Close(ctx))
	}
	return nil
}

func ensure(ctx context.Context, storage *boundedStorage, r wire.Repository) error {
	s, err := inspect(ctx, storage)
	if err != nil {
		return fmt.Errorf("inspecting %s: %w", place(r), err)
	}
	switch {
	case s.phase == corrupted:
		return fmt.Errorf("%s: %w: %s", place(r), ErrCorrupt, s.detail)
	case s.phase == notCreated && r.Location.ReadOnly:
		return fmt.Errorf("%s: %w and has none: %w", place(r), ErrNotInitialized, ErrReadOnly)
	case s.phase == notCreated:
		if err := initialize(ctx, storage, r); err != nil {
			return fmt.Errorf("creating %s: %w", place(r), err)
		}
		return complete(ctx, storage, r)
	case s.phase == notInitialized && !r.Location.ReadOnly:
		return complete(ctx, storage, r)
	}
	return check(ctx, storage, r)
}

// check opens the repository, so that a wrong password shows now.
func check(ctx context.Context, storage *boundedStorage, r wire.Repository) error {
	opened, err := open(ctx, opening{storage: storage, repository: r, purpose: ForReading})
	if err != nil {
		return err
	}
	return opened.Close(ctx)
}

// initialize writes the format of a new repository: the parameters that Velero
// creates repositories with (velero-facts §4.4), spelled out so that a new kopia
// release cannot change them.
func initialize(ctx context.Context, storage blob.Storage, r wire.Repository) error {
	password, err := readPassword(r.PasswordFile)
	if err != nil {
		return err
	}
	if err := checkEmpty(ctx, storage); err != nil {
		return err
	}
	err = repo.Initialize(ctx, storage, &repo.NewRepositoryOptions{
		BlockFormat: format.ContentFormat{
			Hash:       hashing.DefaultAlgorithm,
			Encryption: encryption.DefaultAlgorithm,
			MutableParameters: format.MutableParameters{
				Version:     format.FormatVersion3,
				MaxPackSize: maxPackSizeBytes,
			},
			EnablePasswordChange: true,
		},
		ObjectFormat: format.ObjectFormat{Splitter: splitter.DefaultAlgorithm},
	}, password)
	if errors.Is(err, repo.ErrAlreadyInitialized) {
		return nil // somebody was faster
	}
	return Classify(err)
}

var errStop = errors.New("stop")

func checkEmpty(ctx context.Context, storage blob.Storage) error {
	var found blob.ID
	err := storage.ListBlobs(ctx, "", func(m blob.Metadata) error {
		found = m.BlobID
		return errStop
	})
	if found != "" {
		return fmt.Errorf("%w: blob %s", ErrExistingData, found)
	}
	return Classify(err)
}

// complete writes the maintenance parameters and the marker.
func complete(ctx context.Context, storage *boundedStorage, r wire.Repository) error {
	opened, err := open(ctx, opening{storage: storage, repository: r, purpose: ForWriting})
	if err != nil {
		return err
	}
	full := time.Duration(r.FullMaintenanceSeconds) * time.Second
	err = errors.Join(setMaintenance(ctx, opened, full), writeMarker(ctx, opened))
	if err := errors.Join(err, opened.Close(ctx)); err != nil {
		return fmt.Errorf("completing %s: %w", place(r), Classify(err))
	}
	return nil
}

// setMaintenance makes podkeep, or Velero, the one who maintains the repository, with
// the given time between full cycles, if nobody of them has done so before.
func setMaintenance(ctx context.Context, opened *Repository, full time.Duration) error {
	current, err := maintenance.GetParams(ctx, opened)
	if err != nil {
		return fmt.Errorf("reading maintenance parameters: %w", err)
	}
	if current.Owner == Owner {
		return nil
	}
	wanted := maintenance.DefaultParams()
	wanted.Owner = Owner
	wanted.FullCycle.Interval = cmp.Or(full, wanted.FullCycle.Interval)
	err = repo.WriteSession(ctx, opened.Repository, repo.WriteSessionOptions{Purpose: "set maintenance parameters"},
		func(ctx context.Context, w repo.RepositoryWriter) error {
			return maintenance.SetParams(ctx, w, &wanted)
		})
	if err != nil {
		return fmt.Errorf("writing maintenance parameters: %w", err)
	}
	return nil
}

func writeMarker(ctx context.Context, opened *Repository) error {
	direct, ok := opened.Repository.(repo.DirectRepository)
	if !ok {
		return fmt.Errorf("%w: not a direct repository", ErrInvalidConfig)
	}
	data, err := json.Marshal(marker{UniqueID: direct.UniqueID()})
	if err != nil {
		return fmt.Errorf("encoding %s: %w", markerBlob, err)
	}
	return opened.storage.PutBlob(ctx, markerBlob, bytesOf(data), blob.PutOptions{})
}

// inspect looks which state a repository is in, without a password.
func inspect(ctx context.Context, storage blob.Storage) (state, error) {
	formatData, err := readBlob(ctx, storage, format.KopiaRepositoryBlobID)
	if errors.Is(err, blob.ErrBlobNotFound) {
		return state{phase: notCreated}, checkBucket(ctx, storage)
	}
	if err != nil {
		return state{}, Classify(err)
	}
	markerData, err := readBlob(ctx, storage, markerBlob)
	if err != nil && !errors.Is(err, blob.ErrBlobNotFound) {
		return state{}, Classify(err)
	}
	return decideState(formatData, markerData), nil
}

// decideState is the table of velero-facts §4.5; markerData is nil when there is
// none.
func decideState(formatData, markerData []byte) state {
	parsed, err := format.ParseKopiaRepositoryJSON(formatData)
	if err != nil || parsed == nil || len(parsed.UniqueID) == 0 {
		return state{phase: corrupted, detail: fmt.Sprintf("blob %s cannot be parsed", format.KopiaRepositoryBlobID)}
	}
	if markerData == nil {
		return state{phase: notInitialized, uniqueID: parsed.UniqueID}
	}
	var m marker
	if err := json.Unmarshal(markerData, &m); err != nil {
		return state{phase: corrupted, detail: fmt.Sprintf("blob %s cannot be parsed", markerBlob)}
	}
	if string(m.UniqueID) != string(parsed.UniqueID) {
		return state{phase: corrupted, detail: fmt.Sprintf("blobs %s and %s belong to different repositories", format.KopiaRepositoryBlobID, markerBlob)}
	}
	return state{phase: created, uniqueID: parsed.UniqueID}
}

// checkBucket tells a missing bucket from a missing blob: reading says the same
// for both, listing does not.
func checkBucket(ctx context.Context, storage blob.Storage) error {
	err := storage.ListBlobs(ctx, format.KopiaRepositoryBlobID, func(blob.Metadata) error { return nil })
	return Classify(err)
}

func readBlob(ctx context.Context, storage blob.Storage, id blob.ID) ([]byte, error) {
	var b buffer
	if err := storage.GetBlob(ctx, id, 0, -1, &b); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(&b)
	if data == nil {
		data = []byte{}
	}
	return data, err
}
