package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/blob/filesystem"
	"github.com/kopia/kopia/repo/blob/s3"

	"github.com/podkeep/podkeep/mover/movertest"
)

// plainArgument makes this program the yardstick: a process that does one thing
// by kopia's Go API with kopia's defaults. Its other argument is a plainTask.
const plainArgument = "plain"

// plainTask is what the yardstick does.
type plainTask struct {
	Do string `json:"do"` // create, backup or restore

	Place     place  `json:"place"`
	Directory string `json:"directory"` // of kopia's configuration and caches
	Password  string `json:"password"`

	Volume     string `json:"volume,omitempty"`     // folder to back up, or to restore into
	SnapshotID string `json:"snapshotID,omitempty"` // to restore
}

// Values of plainTask.Do.
const (
	plainCreate  = "create"
	plainBackup  = "backup"
	plainRestore = "restore"
)

// runPlain does the task in argument and returns the exit code. It prints the
// ID of a snapshot that it took.
func runPlain(argument string) int {
	var t plainTask
	if err := json.Unmarshal([]byte(argument), &t); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	id, err := t.run(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Print(id)
	return 0
}

func (t plainTask) run(ctx context.Context) (snapshotID string, err error) {
	k := movertest.PlainKopia{Directory: t.Directory, Password: t.Password}
	switch t.Do {
	case plainCreate:
		k.Storage, err = t.Place.open(ctx)
		if err != nil {
			return "", err
		}
		defer func() { err = errors.Join(err, k.Storage.Close(ctx)) }()
		if err := k.Create(ctx); err != nil {
			return "", err
		}
		return "", k.Connect(ctx)
	case plainBackup:
		m, err := k.Backup(ctx, t.Volume)
		if err != nil {
			return "", err
		}
		return string(m.ID), nil
	case plainRestore:
		return "", k.Restore(ctx, t.SnapshotID, t.Volume)
	default:
		return "", fmt.Errorf("unknown task %q", t.Do)
	}
}

// open opens the storage as kopia's command line would.
func (p place) open(ctx context.Context) (blob.Storage, error) {
	if p.Folder != "" {
		return filesystem.New(ctx, &filesystem.Options{Path: p.path()}, true)
	}
	return s3.New(ctx, &s3.Options{
		BucketName:      p.Bucket,
		Prefix:          p.key(),
		Endpoint:        p.Endpoint,
		DoNotUseTLS:     true,
		AccessKeyID:     p.AccessKey,
		SecretAccessKey: p.SecretKey,
		Region:          p.Region,
	}, false)
}
