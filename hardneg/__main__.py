from hardneg.cli.app import main

main()
