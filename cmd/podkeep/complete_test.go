package main

import (
	"testing"

	. "github.com/onsi/gomega"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

func TestCompletion(t *testing.T) {
	t.Parallel()
	named := func(namespace, name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: namespace, Name: name}
	}
	c := func(t *testing.T) client.WithWatch {
		t.Helper()
		running := &velerov1.Backup{ObjectMeta: named("velero", "shop-2"), Status: velerov1.BackupStatus{Phase: velerov1.BackupPhaseInProgress}}
		ended := &velerov1.Backup{ObjectMeta: named("velero", "shop-1"), Status: velerov1.BackupStatus{Phase: velerov1.BackupPhaseCompleted}}
		return apiWith(t, noFuncs, running, ended,
			&velerov1.Backup{ObjectMeta: named("elsewhere", "shop-3")},
			&velerov1.Restore{ObjectMeta: named("velero", "back")},
			&velerov1.Schedule{ObjectMeta: named("velero", "nightly")},
			&velerov1.BackupStorageLocation{ObjectMeta: named("velero", "default")},
			&velerov1.VolumeSnapshotLocation{ObjectMeta: named("velero", "ebs")},
			&velerov1.BackupRepository{ObjectMeta: named("velero", "shop-default-kopia")},
			&corev1.ConfigMap{ObjectMeta: named("velero", "policies")},
			&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}},
		)
	}
	tests := map[string]struct {
		args []string
		want string
	}{
		"names of backups":                {[]string{"backup", "get", ""}, "shop-1\nshop-2\n:4\n"},
		"names that are not there yet":    {[]string{"backup", "describe", "shop-1", ""}, "shop-2\n:4\n"},
		"verb first":                      {[]string{"describe", "backups", ""}, "shop-1\nshop-2\n:4\n"},
		"one name only":                   {[]string{"backup", "logs", "shop-1", ""}, ":4\n"},
		"what can be canceled":            {[]string{"backup", "cancel", ""}, "shop-2\n:4\n"},
		"the backup of a restore":         {[]string{"restore", "create", "--from-backup", ""}, "shop-1\nshop-2\n:4\n"},
		"the schedule of a backup":        {[]string{"backup", "create", "--from-schedule", ""}, "nightly\n:4\n"},
		"the backup of a bundle":          {[]string{"debug", "--backup", ""}, "shop-1\nshop-2\n:4\n"},
		"restores":                        {[]string{"delete", "restore", ""}, "back\n:4\n"},
		"schedules":                       {[]string{"schedule", "pause", ""}, "nightly\n:4\n"},
		"locations":                       {[]string{"backup-location", "set", ""}, "default\n:4\n"},
		"snapshot locations":              {[]string{"get", "vsl", ""}, "ebs\n:4\n"},
		"the location of a backup":        {[]string{"schedule", "create", "x", "--storage-location", ""}, "default\n:4\n"},
		"repositories":                    {[]string{"repo", "get", ""}, "shop-default-kopia\n:4\n"},
		"policies":                        {[]string{"backup", "create", "--resource-policies-configmap", ""}, "policies\n:4\n"},
		"namespaces":                      {[]string{"backup", "create", "--include-namespaces", ""}, "shop\n:4\n"},
		"formats":                         {[]string{"backup", "describe", "-o", ""}, "plaintext\njson\nyaml\n:4\n"},
		"keys of the configuration":       {[]string{"client", "config", "get", ""}, "namespace\nfeatures\ncacert\ncolorized\n:4\n"},
		"a name that is made up by users": {[]string{"backup", "create", ""}, ":4\n"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := podkeep(t.Context(), c(t), append([]string{cobra.ShellCompNoDescRequestCmd}, tc.args...)...)

			g.Expect(got.out).To(Equal(tc.want))
		})
	}
}
