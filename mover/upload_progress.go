package mover

import (
	"sync/atomic"

	"github.com/kopia/kopia/snapshot/upload"

	"github.com/podkeep/podkeep/internal/wire"
)

// uploadProgress listens to kopia's uploader. It is not Enabled, so that kopia
// does not walk the volume a second time to estimate its size.
type uploadProgress struct {
	upload.NullUploadProgress

	hashed    atomic.Int64 // bytes read
	cached    atomic.Int64 // bytes of unchanged files
	estimated atomic.Int64 // bytes of the volume, 0 while unknown
	failed    finding

	// onError is called for each failed entry, before it is counted. It returns
	// false when the entry does not count.
	onError func(err error) bool
}

// HashedBytes implements upload.Progress.
func (p *uploadProgress) HashedBytes(n int64) { p.hashed.Add(n) }

// CachedFile implements upload.Progress.
func (p *uploadProgress) CachedFile(_ string, size int64) { p.cached.Add(size) }

// Error implements upload.Progress.
func (p *uploadProgress) Error(path string, err error, _ bool) {
	if p.onError(err) {
		p.failed.add(displayPath(path) + ": " + err.Error())
	}
}

func (p *uploadProgress) progress() wire.Progress {
	done := p.hashed.Load() + p.cached.Load()
	total := p.estimated.Load()
	if total > 0 {
		total = max(total, done)
	}
	return wire.Progress{TotalBytes: total, DoneBytes: done}
}

var _ upload.Progress = (*uploadProgress)(nil)
