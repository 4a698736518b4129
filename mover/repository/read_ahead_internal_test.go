package repository

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/kopia/kopia/repo/blob"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
)

// packStorage has one content for all packs.
type packStorage struct {
	blob.Storage
	content []byte
	reads   []string
}

func (s *packStorage) GetMetadata(_ context.Context, id blob.ID) (blob.Metadata, error) {
	return blob.Metadata{BlobID: id, Length: int64(len(s.content))}, nil
}

func (s *packStorage) GetBlob(_ context.Context, id blob.ID, offset, length int64, output blob.OutputBuffer) error {
	s.reads = append(s.reads, fmt.Sprintf("%s %d+%d", id, offset, length))
	output.Reset()
	if length < 0 {
		length = int64(len(s.content)) - offset
	}
	if offset+length > int64(len(s.content)) {
		return blob.ErrInvalidRange
	}
	_, err := output.Write(s.content[offset : offset+length])
	return err
}

func newPackStorage(n int) *packStorage {
	content := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(content)
	return &packStorage{content: content}
}

func TestReadAhead(t *testing.T) {
	t.Parallel()
	type read struct {
		id             blob.ID
		offset, length int64
	}
	const size = segmentBytes + segmentBytes/2
	for name, tc := range map[string]struct {
		reads []read
		want  []string
	}{
		"the second read of a segment fetches it, later ones cost nothing": {
			[]read{{"p1", 0, 10}, {"p1", 10, 10}, {"p1", 100, 10}, {"p1", 0, 10}},
			[]string{"p1 0+10", "p1 0+2097152"},
		},
		"the last segment is short": {
			[]read{{"p1", segmentBytes, 10}, {"p1", segmentBytes + 10, 10}},
			[]string{"p1 2097152+10", "p1 2097152+1048576"},
		},
		"large reads pass through": {
			[]read{{"p1", 0, smallBytes + 1}, {"p1", 0, smallBytes + 1}},
			[]string{"p1 0+524289", "p1 0+524289"},
		},
		"reads over the border pass through": {
			[]read{{"p1", segmentBytes - 5, 10}, {"p1", segmentBytes - 5, 10}},
			[]string{"p1 2097147+10", "p1 2097147+10"},
		},
		"whole blobs pass through": {
			[]read{{"q1", 0, -1}, {"q1", 0, -1}},
			[]string{"q1 0+-1", "q1 0+-1"},
		},
		"blobs that may change pass through": {
			[]read{{"kopia.maintenance", 0, 10}, {"kopia.maintenance", 0, 10}},
			[]string{"kopia.maintenance 0+10", "kopia.maintenance 0+10"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			storage := newPackStorage(size)
			ahead := newReadAhead(storage)
			for _, r := range tc.reads {
				var got buffer
				g.Expect(ahead.GetBlob(t.Context(), r.id, r.offset, r.length, &got)).To(Succeed())
				end := r.offset + r.length
				if r.length < 0 {
					end = size
				}
				g.Expect(bytes.Equal(got.Bytes(), storage.content[r.offset:end])).To(BeTrue())
			}
			g.Expect(storage.reads).To(Equal(tc.want))
		})
	}
}

func TestReadAheadKeepsErrors(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	ahead := newReadAhead(newPackStorage(100))

	for range 3 {
		g.Expect(ahead.GetBlob(t.Context(), "p1", 95, 10, &buffer{})).To(MatchError(blob.ErrInvalidRange))
	}
}

func TestReadAheadBoundsItsMemory(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	ahead := newReadAhead(newPackStorage(100))

	for i := range 5 * maxSegments {
		for range 2 {
			g.Expect(ahead.GetBlob(t.Context(), blob.ID(fmt.Sprintf("p%d", i)), 0, 10, &buffer{})).To(Succeed())
		}
	}

	g.Expect(ahead.segments).To(HaveLen(maxSegments))
	g.Expect(ahead.recent).To(HaveLen(maxSegments))
}

func TestReadAheadIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	storage := &lockedPackStorage{packStorage: newPackStorage(4 * segmentBytes)}
	ahead := newReadAhead(storage)
	var readers errgroup.Group
	for n := range 8 {
		readers.Go(func() error {
			random := rand.New(rand.NewPCG(uint64(n), 1)) //nolint:gosec // small
			for range 500 {
				offset, length := random.Int64N(4*segmentBytes-100), 1+random.Int64N(99)
				var got buffer
				if err := ahead.GetBlob(t.Context(), "p1", offset, length, &got); err != nil {
					return err
				}
				if !bytes.Equal(got.Bytes(), storage.content[offset:offset+length]) {
					return fmt.Errorf("wrong bytes at %d+%d", offset, length)
				}
			}
			return nil
		})
	}
	g.Expect(readers.Wait()).To(Succeed())
}

// lockedPackStorage does not record reads.
type lockedPackStorage struct{ *packStorage }

func (s *lockedPackStorage) GetBlob(_ context.Context, _ blob.ID, offset, length int64, output blob.OutputBuffer) error {
	output.Reset()
	_, err := output.Write(s.content[offset : offset+length])
	return err
}
