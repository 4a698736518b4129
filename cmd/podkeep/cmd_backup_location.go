package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/location"
)

func newBackupLocationCommand(s *session) *cobra.Command {
	return group(&cobra.Command{Use: backupLocations.verb, Aliases: backupLocations.aliases, Short: "Add and look at places where backups are kept"},
		newBackupLocationCreateCommand(s), newKindGetCommand(s, backupLocations))
}

type locationFlags struct {
	provider            string
	bucket              string
	prefix              string
	credential          string
	config              map[string]string
	isDefault           bool
	accessMode          string
	caCertFile          string
	labels              map[string]string
	validationFrequency time.Duration
	syncPeriod          time.Duration
	output              string

	// given reports whether a flag is on the command line: a duration of zero is
	// not the same as none.
	given func(flag string) bool
}

func newBackupLocationCreateCommand(s *session) *cobra.Command {
	var flags locationFlags
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Add a place where backups are kept",
		Example: `  # a bucket with credentials of its own
  kubectl create secret generic second-site -n velero --from-file=cloud=credentials
  podkeep backup-location create second --provider aws --bucket backups \
    --credential second-site=cloud --config region=eu-west-1,s3Url=https://s3.example.com`,
		Args:              nameArgument(backupLocations.name),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			flags.given = cmd.Flags().Changed
			return s.createLocation(cmd, flags, args[0])
		},
	}
	flags.bind(cmd)
	return cmd
}

func (f *locationFlags) bind(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.provider, "provider", "", "aws (any S3) or filesystem (required)")
	fs.StringVar(&f.bucket, "bucket", "", "bucket that keeps the backups")
	fs.StringVar(&f.prefix, "prefix", "", "folder inside the bucket")
	fs.StringVar(&f.credential, "credential", "", "Secret and key with the credentials, as secret=key (default: the credentials of the installation)")
	fs.StringToStringVar(&f.config, "config", nil, "configuration, for example region=eu-west-1,s3Url=https://s3.example.com")
	fs.BoolVar(&f.isDefault, "default", false, "keep backups here that name no location")
	fs.StringVar(&f.accessMode, "access-mode", string(velerov1.BackupStorageLocationAccessModeReadWrite), "ReadWrite or ReadOnly")
	fs.StringVar(&f.caCertFile, "cacert", "", "file with the PEM certificates that the storage's certificate is checked with")
	fs.StringToStringVar(&f.labels, "labels", nil, "labels of the location")
	fs.DurationVar(&f.validationFrequency, "validation-frequency", 0, "how often to check the location; 0 means once (default: what the server says)")
	fs.DurationVar(&f.syncPeriod, "backup-sync-period", 0, "how often to look for backups of other clusters; 0 means never (default: what the server says)")
	fs.StringVarP(&f.output, "output", "o", "", "print the location as table, json or yaml and do not create it")
}

// object turns flags into a location, or says which flag is wrong. caCert is the
// content of the file that --cacert names.
func (f *locationFlags) object(namespace, name string, caCert []byte) (*velerov1.BackupStorageLocation, error) {
	l := &velerov1.BackupStorageLocation{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: f.labels},
		Spec: velerov1.BackupStorageLocationSpec{
			Provider: f.provider,
			Config:   f.config,
			StorageType: velerov1.StorageType{ObjectStorage: &velerov1.ObjectStorageLocation{
				Bucket: f.bucket, Prefix: f.prefix, CACert: caCert,
			}},
			Default:             f.isDefault,
			AccessMode:          velerov1.BackupStorageLocationAccessMode(f.accessMode),
			ValidationFrequency: f.duration("validation-frequency", f.validationFrequency),
			BackupSyncPeriod:    f.duration("backup-sync-period", f.syncPeriod),
		},
	}
	var err error
	if l.Spec.Credential, err = parseCredential(f.credential); err != nil {
		return nil, err
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	if _, err := location.New(l); err != nil {
		return nil, fmt.Errorf("%w; see podkeep backup-location create --help", err)
	}
	return l, nil
}

func (f *locationFlags) check() error {
	switch velerov1.BackupStorageLocationAccessMode(f.accessMode) {
	case velerov1.BackupStorageLocationAccessModeReadWrite, velerov1.BackupStorageLocationAccessModeReadOnly:
	default:
		return fmt.Errorf("--access-mode: Unsupported value: %q: supported values: ReadWrite, ReadOnly", f.accessMode)
	}
	if f.provider == "" {
		return fmt.Errorf("--provider: Required value: aws (any S3) or filesystem")
	}
	if err := checkNotNegative("validation-frequency", int64(f.validationFrequency)); err != nil {
		return err
	}
	if err := checkNotNegative("backup-sync-period", int64(f.syncPeriod)); err != nil {
		return err
	}
	return checkCreateOutput(f.output, false)
}

func (f *locationFlags) duration(flag string, d time.Duration) *metav1.Duration {
	if !f.given(flag) {
		return nil
	}
	return &metav1.Duration{Duration: d}
}

func parseCredential(text string) (*corev1.SecretKeySelector, error) {
	if text == "" {
		return nil, nil
	}
	secret, key, ok := strings.Cut(text, "=")
	if !ok || secret == "" || key == "" || strings.Contains(key, "=") {
		return nil, fmt.Errorf("--credential: Invalid value: %q: must be secret=key", text)
	}
	return &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: secret}, Key: key}, nil
}

func (s *session) createLocation(cmd *cobra.Command, flags locationFlags, name string) error {
	namespace, err := s.namespace()
	if err != nil {
		return err
	}
	var caCert []byte
	if flags.caCertFile != "" {
		if caCert, err = os.ReadFile(flags.caCertFile); err != nil {
			return fmt.Errorf("--cacert: %w", err)
		}
	}
	l, err := flags.object(namespace, name, caCert)
	if err != nil {
		return err
	}
	if flags.output != "" {
		return s.printNew(cmd, backupLocations, l, flags.output)
	}
	t, err := s.open()
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	if err := t.checkOnlyDefault(ctx, l); err != nil {
		return err
	}
	if err := t.Create(ctx, l); err != nil {
		return t.explain(ctx, err, backupLocations, name)
	}
	// The first line is Velero's, which scripts look for.
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "Backup storage location %q configured successfully.\nSee whether it can be used with: %s backup-location get %s\n",
		name, t.command(), name)
	return err
}

// checkOnlyDefault refuses a second default location.
func (t cluster) checkOnlyDefault(ctx context.Context, l *velerov1.BackupStorageLocation) error {
	if !l.Spec.Default {
		return nil
	}
	list := &velerov1.BackupStorageLocationList{}
	if err := t.List(ctx, list, client.InNamespace(l.Namespace)); err != nil {
		return t.explain(ctx, err, backupLocations, "")
	}
	for _, other := range list.Items {
		if other.Spec.Default && other.Name != l.Name {
			return fmt.Errorf("--default: %s is the default location already; end that first with: "+
				"kubectl patch bsl %s -n %s --type merge -p '{\"spec\":{\"default\":false}}'", other.Name, other.Name, l.Namespace)
		}
	}
	return nil
}
