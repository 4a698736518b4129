package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/location"
)

type locationFlags struct {
	createFlags
	provider            string
	bucket              string
	prefix              string
	credential          pairs
	config              pairs
	isDefault           bool
	accessMode          string
	caCertFile          string
	labels              pairs
	validationFrequency time.Duration
	syncPeriod          time.Duration

	// given reports whether a flag is on the command line: a duration of zero is
	// not the same as none.
	given func(flag string) bool
}

func newBackupLocationCreateCommand(s *session, k kind) *cobra.Command {
	var flags locationFlags
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Add a place where backups are kept",
		Example: `  # a bucket with credentials of its own
  kubectl create secret generic second-site -n velero --from-file=cloud=credentials
  podkeep backup-location create second --provider aws --bucket backups \
    --credential second-site=cloud --config region=eu-west-1,s3Url=https://s3.example.com`,
		Args:              nameArgument(k.name),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			flags.given = cmd.Flags().Changed
			return s.createLocation(cmd, flags, args[0])
		},
	}
	flags.createFlags.bind(cmd, k)
	flags.bind(cmd)
	return cmd
}

func (f *locationFlags) bind(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.provider, "provider", "", "aws (any S3) or filesystem (required)")
	fs.StringVar(&f.bucket, "bucket", "", "bucket that keeps the backups")
	fs.StringVar(&f.prefix, "prefix", "", "folder inside the bucket")
	f.credential.bind(fs, "credential", "Secret and key with the credentials, as secret=key (default: the credentials of the installation)")
	f.config.bind(fs, "config", "configuration, for example region=eu-west-1,s3Url=https://s3.example.com")
	fs.BoolVar(&f.isDefault, "default", false, "keep backups here that name no location")
	fs.StringVar(&f.accessMode, "access-mode", string(velerov1.BackupStorageLocationAccessModeReadWrite), "ReadWrite or ReadOnly")
	fs.StringVar(&f.caCertFile, "cacert", "", "file with the PEM certificates that the storage's certificate is checked with")
	f.labels.bind(fs, "labels", "labels of the location")
	fs.DurationVar(&f.validationFrequency, "validation-frequency", 0, "how often to check the location; 0 means once (default: what the server says)")
	fs.DurationVar(&f.syncPeriod, "backup-sync-period", 0, "how often to look for backups of other clusters; 0 means never (default: what the server says)")
	completeValues(cmd, "provider", "aws", "filesystem")
	completeValues(cmd, "access-mode", string(velerov1.BackupStorageLocationAccessModeReadWrite), string(velerov1.BackupStorageLocationAccessModeReadOnly))
}

// object turns flags into a location, or says which flag is wrong. caCert is the
// content of the file that --cacert names.
func (f *locationFlags) object(namespace, name string, caCert []byte) (*velerov1.BackupStorageLocation, error) {
	l := &velerov1.BackupStorageLocation{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: f.labels.values},
		Spec: velerov1.BackupStorageLocationSpec{
			Provider: f.provider,
			Config:   f.config.values,
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
	if l.Spec.Credential, err = credentialOf(f.credential); err != nil {
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
	return checkNotNegative("backup-sync-period", int64(f.syncPeriod))
}

func (f *locationFlags) duration(flag string, d time.Duration) *metav1.Duration {
	if !f.given(flag) {
		return nil
	}
	return &metav1.Duration{Duration: d}
}

// credentialOf is the one credential of a flag; nil when there is none.
func credentialOf(p pairs) (*corev1.SecretKeySelector, error) {
	if len(p.values) > 1 {
		return nil, fmt.Errorf("--credential: Invalid value: %q: a location has one credential only", p.String())
	}
	for secret, key := range p.values {
		if key == "" {
			return nil, fmt.Errorf("--credential: Invalid value: %q: must be secret=key", p.String())
		}
		return &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: secret}, Key: key}, nil
	}
	return nil, nil
}

func readCertificates(file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--cacert: %w", err)
	}
	return data, nil
}

func (s *session) createLocation(cmd *cobra.Command, flags locationFlags, name string) error {
	namespace, err := s.namespace()
	if err != nil {
		return err
	}
	caCert, err := readCertificates(flags.caCertFile)
	if err != nil {
		return err
	}
	l, err := flags.object(namespace, name, caCert)
	if err != nil {
		return err
	}
	return s.create(cmd, creation{
		kind: backupLocations, object: l, flags: flags.createFlags,
		check: func(ctx context.Context, t cluster) error { return t.checkOnlyDefault(ctx, l) },
		said:  func(t cluster) string { return saidConfigured(t, backupLocations, name) },
	})
}

// saidConfigured begins with Velero's line.
func saidConfigured(t cluster, k kind, name string) string {
	return fmt.Sprintf("%s %q configured successfully.\nSee whether it can be used with: %s %s get %s\n", k.title, name, t.command(), k.verb, name)
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
			return fmt.Errorf("--default: %s is the default location already; end that first with: %s backup-location set %s --default=false",
				other.Name, t.command(), other.Name)
		}
	}
	return nil
}

// removeBackupLocation removes the location and, as Velero's client does, the
// objects of its backups and repositories. The bucket is not touched.
func removeBackupLocation(ctx context.Context, t cluster, obj client.Object) (string, error) {
	if err := t.Delete(ctx, obj); err != nil {
		return "", err
	}
	said := fmt.Sprintf("Backup storage location %q deleted successfully.\n", obj.GetName())
	of := []client.ListOption{
		client.InNamespace(t.namespace), client.MatchingLabels{velerov1.StorageLocationLabel: velerov1.ValidLabelValue(obj.GetName())},
	}
	backupList, repositoryList := &velerov1.BackupList{}, &velerov1.BackupRepositoryList{}
	problems := errors.Join(t.List(ctx, backupList, of...), t.List(ctx, repositoryList, of...))
	for i := range backupList.Items {
		text, err := t.removeWith(ctx, &backupList.Items[i], "Backup")
		said, problems = said+text, errors.Join(problems, err)
	}
	for i := range repositoryList.Items {
		text, err := t.removeWith(ctx, &repositoryList.Items[i], "Backup repository")
		said, problems = said+text, errors.Join(problems, err)
	}
	return said, problems
}

func (t cluster) removeWith(ctx context.Context, obj client.Object, title string) (string, error) {
	if err := client.IgnoreNotFound(t.Delete(ctx, obj)); err != nil {
		return "", fmt.Errorf("deleting %s of the deleted location: %w", obj.GetName(), err)
	}
	return fmt.Sprintf("%s associated with deleted BSL(s) %q deleted successfully.\n", title, obj.GetName()), nil
}

type locationSetFlags struct {
	caCertFile string
	credential pairs
	isDefault  optionalBool
}

func newBackupLocationSetCommand(s *session, k kind) *cobra.Command {
	var flags locationSetFlags
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Change a place where backups are kept",
		Long: `Change a place where backups are kept. What no flag names stays as it is.

Velero's client takes the certificates away when --cacert is not given; here
--cacert= does that.`,
		Example: `  # make it the place of backups that name none
  podkeep backup-location set second --default`,
		Args:              nameArgument(k.name),
		ValidArgsFunction: s.completeNames(k),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.setLocation(cmd, flags, args[0])
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&flags.caCertFile, "cacert", "", "file with the PEM certificates that the storage's certificate is checked with; empty takes them away")
	flags.credential.bind(fs, "credential", "Secret and key with the credentials, as secret=key")
	flags.isDefault.bind(fs, "default", "keep backups here that name no location, or elsewhere with =false")
	return cmd
}

func (s *session) setLocation(cmd *cobra.Command, flags locationSetFlags, name string) error {
	caCert, err := readCertificates(flags.caCertFile)
	if err != nil {
		return err
	}
	credential, err := credentialOf(flags.credential)
	if err != nil {
		return err
	}
	t, err := s.open()
	if err != nil {
		return err
	}
	ctx, l := cmd.Context(), &velerov1.BackupStorageLocation{}
	if err := t.Get(ctx, client.ObjectKey{Namespace: t.namespace, Name: name}, l); err != nil {
		return t.explain(ctx, err, backupLocations, name)
	}
	before := l.DeepCopy()
	if cmd.Flags().Changed("cacert") && l.Spec.ObjectStorage != nil {
		l.Spec.ObjectStorage.CACert = caCert
	}
	if credential != nil {
		l.Spec.Credential = credential
	}
	if d := flags.isDefault.value; d != nil {
		l.Spec.Default = *d
	}
	if err := t.checkOnlyDefault(ctx, l); err != nil {
		return err
	}
	if err := t.Patch(ctx, l, client.MergeFrom(before)); err != nil {
		return t.explain(ctx, err, backupLocations, name)
	}
	_, err = io.WriteString(cmd.OutOrStdout(), saidConfigured(t, backupLocations, name))
	return err
}
