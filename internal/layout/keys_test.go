package layout

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

func TestKeys(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	g.Expect([]string{
		BackupPrefix("b"), BackupMetadata("b"), BackupContents("b"), BackupLog("b"), BackupPodVolumeBackups("b"),
		BackupVolumeSnapshots("b"), BackupItemOperations("b"), BackupResourceList("b"), BackupResults("b"), BackupVolumeInfo("b"),
	}).To(Equal([]string{
		"backups/b/", "backups/b/velero-backup.json", "backups/b/b.tar.gz", "backups/b/b-logs.gz", "backups/b/b-podvolumebackups.json.gz",
		"backups/b/b-volumesnapshots.json.gz", "backups/b/b-itemoperations.json.gz", "backups/b/b-resource-list.json.gz", "backups/b/b-results.gz", "backups/b/b-volumeinfo.json.gz",
	}))
	g.Expect([]string{
		RestorePrefix("r"), RestoreLog("r"), RestoreResults("r"), RestoreResourceList("r"), RestoreItemOperations("r"), RestoreVolumeInfo("r"),
	}).To(Equal([]string{
		"restores/r/", "restores/r/restore-r-logs.gz", "restores/r/restore-r-results.gz", "restores/r/restore-r-resource-list.json.gz", "restores/r/restore-r-itemoperations.json.gz", "restores/r/r-volumeinfo.json.gz",
	}))
}

func TestBackupName(t *testing.T) {
	t.Parallel()
	for prefix, want := range map[string]string{
		"backups/nightly/":    "nightly",
		"backups/":            "",
		"backups/nightly":     "",
		"backups/a/b/":        "",
		"restores/nightly/":   "",
		BackupPrefix("a.b-c"): "a.b-c",
	} {
		t.Run(prefix, func(t *testing.T) {
			t.Parallel()
			NewWithT(t).Expect(BackupName(prefix)).To(Equal(want))
		})
	}
}

func TestValidateTopLevel(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		prefixes []string
		want     string // "" means valid
	}{
		"an empty location":    {},
		"all that may be":      {prefixes: []string{"backups/", "restores/", "restic/", "metadata/", "plugins/", "kopia/"}},
		"without slashes":      {prefixes: []string{"backups", "kopia"}},
		"strangers are named":  {prefixes: []string{"photos/", "backups/", "music/"}, want: "Backup store contains invalid top-level directories: [music photos]"},
		"many are counted":     {prefixes: []string{"d/", "c/", "b/", "a/"}, want: "Backup store contains 4 invalid top-level directories: [a b c ...]"},
		"a control character":  {prefixes: []string{"a\nb\x00/"}, want: `Backup store contains invalid top-level directories: ["a\nb\x00"]`},
		"no text at all":       {prefixes: []string{"\xff/"}, want: `Backup store contains invalid top-level directories: ["\xff"]`},
		"a long name":          {prefixes: []string{strings.Repeat("x", 1000)}, want: "Backup store contains invalid top-level directories: [" + strings.Repeat("x", 100) + "…]"},
		"a path that leads up": {prefixes: []string{"../"}, want: "Backup store contains invalid top-level directories: [..]"},
		"no name":              {prefixes: []string{"/"}, want: "Backup store contains invalid top-level directories: []"},
		"a similar name is no": {prefixes: []string{"backups2/"}, want: "Backup store contains invalid top-level directories: [backups2]"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			err := ValidateTopLevel(tc.prefixes)

			if tc.want == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(tc.want))
		})
	}
}

// Whatever lies in a bucket, the message is one line of bounded length.
func FuzzValidateTopLevel(f *testing.F) {
	f.Add("backups/\nkopia/")
	f.Add("photos/\n\x00/\n../\n/\n\xff\xfe")
	f.Fuzz(func(t *testing.T, listing string) {
		g := NewWithT(t)
		prefixes := strings.Split(listing, "\n")

		err := ValidateTopLevel(prefixes)

		if err != nil {
			g.Expect(len(err.Error())).To(BeNumerically("<", 2500))
			g.Expect(strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' })).To(BeFalse())
		}
		for _, p := range prefixes {
			name := BackupName(p)
			g.Expect(name == "" || BackupPrefix(name) == p).To(BeTrue())
		}
	})
}
