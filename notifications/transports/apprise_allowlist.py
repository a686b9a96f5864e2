"""Which Apprise services may be used: those that only speak HTTP, by the names of Apprise's modules.

Services that a newer version of Apprise added are disabled until they are reviewed: a test, which lists those
that are refused, fails until then.
"""

from __future__ import annotations

ALLOWED = frozenset(
    """
    africas_talking apprise_api bark betterstack bluesky brevo bulksms bulkvs burstsms chanify
    clickatell clicksend cliq cm custom_form custom_json custom_xml d7networks dapnet dingtalk
    discord dot eight00com emby enigma2 evolution exotel feishu firehydrant flock flowtriq fluxer
    fortysixelks freemobile github goalert google_chat gorush gotify groundmail groupme guilded
    gupshup home_assistant httpsms humhub ifttt ilert incidentio infobip jellyfin jira join
    kakaotalk kaleyra kavenegar kodi kook kumulos lametric lark lauther lfgalarm line mailersend
    mailgun mastodon matrix mattermost messagebird misskey mobilemessage msg91 nextcloud
    nextcloudtalk notica notifiarr notifico notifyre ntfy octopush office365 one_signal onebot
    opsgenie pagerduty pagertree parseplatform pinglet pingram plivo postmark prowl pushbullet
    pushdeer pushed pushjet pushme pushover pushplus pushsafer pushward pushy qq reddit resend
    revolt ringcentral rocketchat ryver sendgrid sendpulse serverchan serwersms ses seven sfr
    signal_api signalgrid signl4 simplepush sinch slack smsc smseagle smsmanager smstunnel smtp2go
    sns sogs sparkpost spike splunk spugpush squadcast stackfield streamlabs synology techuluspush
    telegram telesign telnyx threema trigv twilio twist twitter viber voipms vonage webexteams
    wechat wecombot whapi whatsapp workflows wpush wxpusher xmatters youlmk zalo zoom zulip
    """.split()  # noqa: SIM905
)
