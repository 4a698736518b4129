package location

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/internal/objectstore"
)

func TestReport(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		err         error
		wantPhase   velerov1.BackupStorageLocationPhase
		wantMessage string
		wantReason  string
		wantText    string // of the condition
	}{
		"a good location": {
			wantPhase: velerov1.BackupStorageLocationPhaseAvailable, wantReason: velerov1.ReasonSucceeded,
			wantText: "The location can be used",
		},
		"wrong keys": {
			err:         fmt.Errorf("listing s3://b/: %w", objectstore.ErrAccessDenied),
			wantPhase:   velerov1.BackupStorageLocationPhaseUnavailable,
			wantMessage: `BackupStorageLocation "a" is unavailable: listing s3://b/: access denied`,
			wantReason:  velerov1.ReasonAccessDenied, wantText: "check the keys",
		},
		"a missing bucket": {
			err:         objectstore.ErrBucketNotFound,
			wantPhase:   velerov1.BackupStorageLocationPhaseUnavailable,
			wantMessage: `BackupStorageLocation "a" is unavailable: bucket not found`,
			wantReason:  velerov1.ReasonBucketNotFound, wantText: "create it",
		},
		"an error without a remedy, on several lines": {
			err:         errors.New("one\n  two"),
			wantPhase:   velerov1.BackupStorageLocationPhaseUnavailable,
			wantMessage: `BackupStorageLocation "a" is unavailable: one two`,
			wantReason:  velerov1.ReasonLocationUnavailable, wantText: "one two",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			l := bsl("a", unavailable(t0))
			l.Status.Message = "old"

			report(l, t0.Add(time.Hour), tc.err)

			g.Expect(l.Status.Phase).To(Equal(tc.wantPhase))
			g.Expect(l.Status.Message).To(Equal(tc.wantMessage))
			g.Expect(l.Status.LastValidationTime.Time).To(Equal(t0.Add(time.Hour)))
			g.Expect(l.Status.Conditions).To(HaveLen(1))
			g.Expect(l.Status.Conditions[0].Reason).To(Equal(tc.wantReason))
			g.Expect(l.Status.Conditions[0].Message).To(ContainSubstring(tc.wantText))
			g.Expect(l.Status.Conditions[0].LastTransitionTime.Time).To(Equal(t0.Add(time.Hour)))
		})
	}
}

func TestReportDoesNotFlap(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	broken := func(port int) error {
		return fmt.Errorf("%w: %w", objectstore.ErrUnavailable, &net.OpError{
			Op: "read", Net: "tcp", Err: syscall.ECONNRESET,
			Source: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: port},
			Addr:   &net.TCPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 9000},
		})
	}
	first, second := bsl("a"), bsl("a")

	report(first, t0, broken(40001))
	report(second, t0, broken(40002))

	g.Expect(equality.Semantic.DeepEqual(first.Status, second.Status)).To(BeTrue())
	g.Expect(first.Status.Message).To(ContainSubstring("10.0.0.2:9000"))
}

func TestValidate(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		folders []string
		missing bool
		err     error
		want    string // "" means that it can be used
	}{
		"an empty location":         {},
		"a location in use":         {folders: []string{"backups/a", "kopia/shop"}},
		"a location of another use": {folders: []string{"photos"}, want: "invalid top-level directories: [photos]"},
		"a directory that is gone":  {missing: true, want: "bucket not found"},
		"a store that did not open": {err: errors.New("no keys"), want: "no keys"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			dir := t.TempDir()
			for _, folder := range tc.folders {
				g.Expect(os.MkdirAll(filepath.Join(dir, folder), 0o700)).To(Succeed())
				g.Expect(os.WriteFile(filepath.Join(dir, folder, "x"), nil, 0o600)).To(Succeed())
			}
			if tc.missing {
				dir = filepath.Join(dir, "missing")
			}
			store, err := objectstore.Open(t.Context(), location.Location{
				Provider: location.ProviderFilesystem, Config: map[string]string{location.ConfigFilesystemPath: dir},
			})
			g.Expect(err).NotTo(HaveOccurred())

			err = validate(t.Context(), opened{store: store, err: tc.err})

			if tc.want == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(ContainSubstring(tc.want)))
		})
	}
}

func TestSpecChangedDropsOwnPatches(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		before, after *velerov1.BackupStorageLocation
		want          bool
	}{
		"a check is reported":          {bsl("a", available(t0)), bsl("a", available(t0.Add(time.Minute))), false},
		"the spec changes":             {bsl("a", available(t0)), bsl("a", available(t0), every(time.Hour)), true},
		"it is deleted":                {bsl("a", available(t0)), bsl("a", available(t0), deleted), true},
		"somebody empties the status":  {bsl("a", available(t0)), bsl("a"), true},
		"somebody labels the location": {bsl("a", available(t0)), bsl("a", available(t0), func(l *velerov1.BackupStorageLocation) { l.Labels = map[string]string{"a": "b"} }), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			NewWithT(t).Expect(specChanged().Update(updateEvent(tc.before, tc.after))).To(Equal(tc.want))
		})
	}
}

func updateEvent(before, after client.Object) event.UpdateEvent {
	return event.UpdateEvent{ObjectOld: before, ObjectNew: after}
}
